"""Groups of rows: by picture and by product, equal to a slow reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from index_builder.metadata.duplicate_groups import GroupKeys, hash_keys, joined, text_keys
from vitrine.duplicates.disjoint_sets import DisjointSets
from vitrine.identity import sha256_hex
from vitrine.item_table.groups import open_groups


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_grouped_as_a_row_by_row_reference_groups_them(seed: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(seed)
    looks = generator.integers(0, 1 << 63, size=40, dtype=np.uint64)
    rows = []
    for _ in range(200):
        picture = int(generator.integers(0, 120))
        near = int(looks[picture % 40]) ^ (1 << picture % 3)
        rows.append(
            {
                "embedding_key": sha256_hex(f"vector {generator.integers(0, 250)}".encode()),
                "image_sha256": None if generator.random() < 0.2 else sha256_hex(f"picture {picture}".encode()),
                "perceptual_hash": None if generator.random() < 0.3 else f"{near:016x}",
                "parent_id": [None, "", f"product {generator.integers(0, 60)}"][generator.choice(3, p=[0.1, 0.1, 0.8])],
            }
        )
    keys = GroupKeys(tmp_path / "keys", items=len(rows))
    for start in range(0, len(rows), 70):
        schema = pa.schema([(name, pa.string()) for name in rows[0]])
        keys.see(start, pa.Table.from_pylist(rows[start : start + 70], schema=schema))

    counts, _ = keys.write(tmp_path, max_distance=3)

    groups = open_groups(tmp_path, ["image", "product"], items=len(rows))
    images, products = _reference(rows)
    assert groups["image"].groups.tolist() == images
    assert groups["product"].groups.tolist() == products
    assert counts == {"image": len(set(images)), "product": len(set(products))}


def test_two_groupings_are_joined_by_what_they_share() -> None:
    one = np.array([0, 0, 2, 2, 4, 5, 5], dtype=np.uint32)
    other = np.array([0, 1, 1, 3, 3, 5, 6], dtype=np.uint32)

    assert joined(one, other).tolist() == [0, 0, 0, 0, 0, 5, 5]


def test_a_chain_of_groups_is_joined_in_few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    place = np.random.default_rng(4).permutation(4_096)  # of a row in the chain; each group is a link
    compared: list[int] = []

    def counted(one: np.ndarray, other: np.ndarray) -> bool:
        compared.append(len(one))
        return bool((one == other).all())

    monkeypatch.setattr(np, "array_equal", counted)

    groups = joined(_named_by_smallest(place // 2), _named_by_smallest((place + 1) // 2))

    assert set(groups.tolist()) == {0}
    assert len(compared) <= 150  # 1,685 where a name goes on by one link a round


def test_a_key_of_a_hash_is_its_beginning_and_of_another_text_a_hash() -> None:
    hashes = pa.array(["00000000000000ff" + "0" * 48, "f" * 64])
    short = pa.array(["00000000000000ff"])
    odd = pa.array(["key", "0" * 63 + "g", "é" * 32])

    assert hash_keys(hashes).tolist() == [255, 2**64 - 1]
    assert hash_keys(hashes.slice(1)).tolist() == [2**64 - 1]
    assert hash_keys(short).tolist() == [255]
    assert hash_keys(odd).tolist() == text_keys(odd).tolist()
    assert len(set(text_keys(odd).tolist())) == 3
    assert hash_keys(pa.array([], pa.string())).tolist() == []


def _named_by_smallest(labels: np.ndarray) -> np.ndarray:
    _, smallest, places = np.unique(labels, return_index=True, return_inverse=True)
    return smallest[places].astype(np.uint32)


def _reference(rows: list[dict[str, str | None]]) -> tuple[list[int], list[int]]:
    images: DisjointSets[int] = DisjointSets()
    products: DisjointSets[int] = DisjointSets()
    for place, one in enumerate(rows):
        for other in range(place + 1, len(rows)):
            another = rows[other]
            looks = one["perceptual_hash"], another["perceptual_hash"]
            is_near = None not in looks and (int(looks[0] or "", 16) ^ int(looks[1] or "", 16)).bit_count() <= 3
            same = (one[name] is not None and one[name] == another[name] for name in ("embedding_key", "image_sha256"))
            if is_near or any(same):
                images.join(place, other)
            if one["parent_id"] and one["parent_id"] == another["parent_id"]:
                products.join(place, other)
    places = range(len(rows))
    return [images.name_of(place) for place in places], [products.name_of(place) for place in places]
