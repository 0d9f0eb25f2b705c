"""Command line: `onnxlrp demo`, `convert`, `inspect`, `explain`, `check`, `evaluate`, `tune` and others."""

from collections.abc import Callable

from onnxlrp.cli.application import FOUND, UNUSABLE, app, main
from onnxlrp.cli.check_command import check
from onnxlrp.cli.clusters_command import clusters
from onnxlrp.cli.concepts_command import concepts
from onnxlrp.cli.converting import convert, inspect
from onnxlrp.cli.deploy_command import deploy
from onnxlrp.cli.evaluating import evaluate
from onnxlrp.cli.explaining import explain
from onnxlrp.cli.report_command import report
from onnxlrp.cli.showing import composites, demo, help, operators
from onnxlrp.cli.snippet_command import snippet
from onnxlrp.cli.tuning import tune
from onnxlrp.cli.verifying import audit, verify

__all__ = ["FOUND", "UNUSABLE", "app", "main"]

COMMANDS: dict[Callable[..., None], str] = {
    demo: "onnxlrp demo my-folder",
    convert: (
        "onnxlrp convert model.onnx -o model.lrp.onnx --composite epsilon_plus; "
        "for a detector, to choose a box's score: onnxlrp convert yolo.onnx -o yolo.lrp.onnx --target element; "
        "for small results: onnxlrp convert model.onnx -o model.lrp.onnx --reduce grid=14"
    ),
    inspect: (
        "onnxlrp inspect model.onnx --composite 'epsilon_gamma_box(low=0, high=255)'; "
        "to ask why a batch norm is a step of its own: onnxlrp inspect model.onnx --why-not bn1"
    ),
    explain: (
        "onnxlrp explain model.onnx --input image=cat.jpg --target 285 -o cat.png; "
        "a text: onnxlrp explain bert.onnx --text input_ids='What a great film!' -o film.html; "
        "one box's score: onnxlrp explain detector.onnx --input images=street.jpg --element 4,6203 -o car.png"
    ),
    check: "onnxlrp check model.onnx --input image=cat.jpg",
    evaluate: (
        "onnxlrp evaluate model.onnx --input image=pictures/ --composite auto --composite epsilon --plot curves.png; "
        "a table: onnxlrp evaluate churn.onnx --input features=customers.csv --measure perturbation"
    ),
    tune: (
        "onnxlrp tune model.onnx --input image=pictures/ -o rules.toml; then: "
        "onnxlrp convert model.onnx -o model.lrp.onnx --composite rules.toml"
    ),
    report: (
        "onnxlrp report model.onnx --input image=cat.jpg -o report.html; "
        "a text: onnxlrp report bert.onnx --text input_ids='What a great film!' --no-curves -o report.html"
    ),
    deploy: (
        "onnxlrp deploy model.lrp.onnx --for triton -o repository; "
        "for Kubernetes: onnxlrp deploy model.lrp.onnx --for kserve --storage-uri s3://bucket/models -o repository"
    ),
    concepts: (
        "onnxlrp concepts model.onnx --data pictures/ --input cat.jpg -o concepts; "
        "of a class: onnxlrp concepts model.onnx --data pictures/ --target 285 --layer /layer3/relu -o concepts"
    ),
    clusters: (
        "onnxlrp clusters model.onnx --data training-pictures/ -o clusters; "
        "for ViRelAy: onnxlrp clusters model.onnx --data training-pictures/ -o clusters --virelay"
    ),
    verify: (
        "onnxlrp verify cat.png --model model.onnx --input image=cat.jpg; "
        "where model and input lie beside the results: onnxlrp verify results/scores.csv"
    ),
    audit: "onnxlrp audit february/ --baseline january/ --bound 0.95",
    snippet: "onnxlrp snippet model.lrp.onnx --language node",
    help: "onnxlrp help absorbed",
    operators: "onnxlrp operators --json",
    composites: "onnxlrp composites --json",
}
"""Every command with an example, in the order of the help."""

for command, example in COMMANDS.items():
    app.command(epilog=f"Example: {example}")(command)
