from __future__ import annotations

import ctypes

import numpy as np
import pytest

from onnxlrp.errors import InputError
from onnxlrp.runtime import Explainer, providers

X = np.ones((1, 3), np.float32)


@pytest.fixture(autouse=True)
def fresh():
    for cached in (providers.cuda_present, providers._tell_fallback, providers._preload):
        cached.cache_clear()
    yield
    for cached in (providers.cuda_present, providers._tell_fallback, providers._preload):
        cached.cache_clear()


def available(monkeypatch, names):
    monkeypatch.setattr(providers.onnxruntime(), "get_available_providers", lambda: names)


def test_without_a_driver_cuda_is_never_named(monkeypatch, linear, capfd):
    def no_driver(name):
        raise OSError(name)

    asked = []
    module = providers.onnxruntime()
    session = module.InferenceSession

    def recording(model, sess_options, providers):
        asked.append(providers)
        return session(model, sess_options=sess_options, providers=providers)

    available(monkeypatch, ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(ctypes, "CDLL", no_driver)
    monkeypatch.setattr(module, "InferenceSession", recording)
    assert Explainer(linear)({"x": X}).target.shape == (1,)
    assert asked == [["CPUExecutionProvider"]]
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


@pytest.mark.parametrize(("init", "devices", "present"), [(0, 1, True), (0, 0, False), (100, 0, False)])
def test_a_driver_without_a_device_is_no_cuda(monkeypatch, init, devices, present):
    class Driver:
        def cuInit(self, flags):
            return init

        def cuDeviceGetCount(self, count):
            count._obj.value = devices
            return 0

    available(monkeypatch, ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    assert providers.cuda_present() is present


def test_cuda_that_does_not_start_is_one_line_on_stderr(monkeypatch, linear, capfd):
    monkeypatch.setattr(providers, "cuda_present", lambda: True)
    if "CUDAExecutionProvider" not in providers.onnxruntime().get_available_providers():
        pytest.xfail("this onnxruntime was built without CUDA")
    for _ in range(2):
        explainer = Explainer(linear)
    if "CUDAExecutionProvider" in explainer.providers:
        pytest.xfail("CUDA works here")
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and "onnxlrp[cuda]" in captured.err


def test_preloading_prints_nothing(monkeypatch, capfd):
    monkeypatch.setattr(providers.onnxruntime(), "preload_dlls", lambda: print("stray"), raising=False)
    providers._preload(providers.onnxruntime())
    assert capfd.readouterr().out == ""


def test_explicit_providers(linear):
    assert Explainer(linear, providers=["CPUExecutionProvider"]).providers == ["CPUExecutionProvider"]
    with pytest.raises(InputError, match=r"NoSuchProvider.*CPUExecutionProvider"):
        Explainer(linear, providers=["NoSuchProvider"])


def test_run_errors_are_input_errors_without_a_log(source, capfd):
    session = providers.create_session(source.SerializeToString(), ["CPUExecutionProvider"])
    with pytest.raises(InputError, match="does not run"):
        providers.run(session, None, {"x": np.ones((1, 5), np.float32)})
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


def test_messages_lose_their_source_locations():
    text = "[ONNXRuntimeError] : 2 : FAIL : Node a /onnxruntime_src/onnxruntime/core/x.cc:77 bool f(int) it is too long"
    assert providers.tidy_message(Exception(text)) == "[ONNXRuntimeError] : 2 : FAIL : Node a it is too long"
    assert len(providers.tidy_message(Exception("x" * 5000))) < 700


def test_runs_of_one_shape_take_no_second_block_of_memory(linear):
    assert not Explainer(linear)._session.get_session_options().enable_mem_pattern


def test_a_number_of_threads(linear):
    explainer = Explainer(linear, providers=["CPUExecutionProvider"], threads=1)
    assert explainer._session.get_session_options().intra_op_num_threads == 1
    for wrong in (0, 1.0, "2", True):
        with pytest.raises(InputError, match="threads is a whole number from 1 on"):
            Explainer(linear, threads=wrong)
