"""Records: who made an explanation of what, whether it can be made again, and how explanations change over time.

```python
from onnxlrp.records import audit, read_record, verify

explainer({"image": x}, target=1).save("explanation.json")
read_record("explanation.json").composite
print(verify("explanation.json", "model.onnx", {"image": x}))
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxlrp import late_names

if TYPE_CHECKING:
    from onnxlrp.records.audit import Audit, audit
    from onnxlrp.records.reading_records import read_record
    from onnxlrp.records.verification import Finding, Verification
    from onnxlrp.records.verify import verify

__all__ = ["Audit", "Finding", "Verification", "audit", "read_record", "verify"]

_HOMES = {
    "Audit": "audit",
    "Finding": "verification",
    "Verification": "verification",
    "audit": "audit",
    "read_record": "reading_records",
    "verify": "verify",
}

late_names.install(__name__, _HOMES)
