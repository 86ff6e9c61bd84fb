"""A batch from upload to its end, through the routes that the real parts call."""

from __future__ import annotations

import json

from support.ingest_service import Lab
from support.payload_schemas import assert_matches

A, B, C = "https://a.example/1.jpg", "https://b.example/2.jpg", "https://c.example/3.jpg"


def test_a_batch_runs_from_upload_to_completed(lab: Lab) -> None:
    """Upload, process, start, claim, report, finish: the status page shows every output in its slot."""
    request_id = lab.submit(f"{A}, {B}", C)

    processed = lab.internal("tasks", "POST", "/process", {"request_id": request_id})
    execution = lab.start(request_id, lab.executions.created[0][1])
    payloads = lab.claim(request_id, execution)
    answers = [lab.report(payload).json for payload in payloads]
    finished = lab.finish(request_id, execution)

    assert processed.json == {
        "request_id": request_id,
        "status": "PENDING",
        "message": "Processing was started",
    }
    assert [answer["batch_status"] for answer in answers] == ["PROCESSING", "PROCESSING", "SEALING"]
    assert finished.json["status"] == "COMPLETED"
    assert finished.json["message"] == "Compression done"
    status = lab.status(request_id)
    assert status["status"] == "COMPLETED"
    assert status["counts"] == {"total": 3, "pending": 0, "succeeded": 3, "failed": 0}
    first = status["products"][0]
    assert first["input_images"] == f"{A},{B}"
    assert first["output_images"] == ",".join(f"http://storage.test/{p['image_id']}.jpg" for p in payloads[:2])
    assert first["status"] == "COMPLETED"


def test_the_export_tells_the_whole_sheet(lab: Lab) -> None:
    """The stream has the batch, each row with its cells and images, and the end."""
    sheet = "S. No.,Product Name,Colour,Input Image Urls,Output Image Urls\n1.,Lamp,red,https://a.example/x,old\n,,,,\n"
    request_id = lab.upload(sheet).json["request_id"]
    lab.finish_all(request_id)

    answer = lab.internal("reporter", "GET", f"/internal/batches/{request_id}/export")

    lines = [json.loads(line) for line in answer.text.splitlines()]
    for name, line in zip(("export_batch", "export_row", "export_row", "export_end"), lines, strict=True):
        assert_matches(name, line)
    assert lines[0]["columns"] == {"serial": 0, "name": 1, "urls": [3], "output": 4, "errors": None}
    assert [line["cells"] for line in lines[1:3]] == [["1.", "Lamp", "red", "https://a.example/x", "old"], [""] * 5]
    assert [line["row_number"] for line in lines[1:3]] == [2, 3]
    assert lines[3] == {"kind": "end", "rows": 2, "images": 1}
