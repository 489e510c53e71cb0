"""Pictures that are much work cost themselves: whoever searches beside them notices nothing."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from benchmarks.attacks import picture_files as files
from tests.serving.replica_process import ReplicaProcess


def test_uploads_of_bombs_as_plain_forms_fail_no_search_beside_them(shop_replica: ReplicaProcess) -> None:
    side = {"width": 500, "height": 500}
    bombs = [
        files.scan_bomb(scans=4_000, **side),
        files.mpo_bomb(scans=4_000, **side),
        files.tiff_bomb(scans=4_000, **side),
        files.scan_bomb(scans=900, **side),  # just allowed: decoded apart
    ]

    def upload(data: bytes) -> int:
        url = f"{shop_replica.url}/v1/search"
        return httpx.post(url, files={"image": data}, timeout=120, trust_env=False).status_code

    with ThreadPoolExecutor(20) as pool:
        uploads = [pool.submit(upload, bomb) for bomb in bombs * 3]
        others = Counter(pool.map(lambda _: shop_replica.search(item_id="item/1").status_code, range(80)))
        statuses = [[one.result() for one in uploads[place::4]] for place in range(4)]

    assert others == {200: 80}
    assert statuses[:3] == [[413] * 3] * 3
    assert set(statuses[3]) <= {200, 503}


def test_pictures_of_rare_kinds_are_searched_by(shop_replica: ReplicaProcess) -> None:
    picture = files.photograph(200, 150)
    rare = [
        files.encoded(picture, "AVIF"),
        files.encoded(picture, "TIFF", compression="jpeg"),
        files.encoded(picture, "WEBP", save_all=True, append_images=[picture.rotate(180)]),
    ]

    found = [
        httpx.post(f"{shop_replica.url}/v1/search", files={"image": data}, timeout=120, trust_env=False)
        for data in rare
    ]

    assert [answer.status_code for answer in found] == [200, 200, 200]
