"""Decoder processes: what runs too long, takes too much memory or crashes costs its picture, and no neighbour."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from benchmarks.attacks import picture_files as files
from tests.waiting import is_gone, wait_for
from vitrine.errors import DecodersBusyError, ImageError
from vitrine.images.decoders import decoder_process
from vitrine.images.decoders.decoder_process import DecoderProcess
from vitrine.images.decoders.pool import Decoders
from vitrine.images.decoding import WorkLimit, decode_here, decode_image

AVIF = files.encoded(files.photograph(120, 90), "AVIF")
LONG = files.scan_bomb(scans=900)


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoders]:
    """A decoder process at most, which a busy machine may starve for long: what ends it is its CPU time."""
    monkeypatch.setattr(decoder_process, "_LEAST_WALL_S", 300.0)
    decoders = Decoders(processes=1, waiting=1)
    yield decoders
    decoders.close()


def limit(decoders: Decoders, cpu_s: float = 20.0) -> WorkLimit:
    return WorkLimit(cpu_s, None, decoders)


def children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "vitrine.images.decoder" in child.cmdline()
    ]


def started(decoders: Decoders) -> psutil.Process:
    """Has these decoders start their process, and returns it."""
    before = {child.pid for child in children()}
    assert decode_image(AVIF, work=limit(decoders)).size == (120, 90)
    (child,) = (child for child in children() if child.pid not in before)
    return child


def cpu_s(child: psutil.Process) -> float:
    return sum(child.cpu_times()[:2])


def wait_for_work(child: psutil.Process) -> None:
    """Waits until a decoder process has worked on the picture that it was given."""
    idle_s = cpu_s(child)
    wait_for(lambda: cpu_s(child) > idle_s + 0.2, what="a decoder process at work", every_s=0.01)


@pytest.mark.parametrize("name", sorted(files.sound_pictures().keys() - {"png without palette"}))
def test_a_picture_comes_from_there_as_it_would_from_here(name: str) -> None:
    data = files.sound_pictures()[name]

    found = decode_image(data)

    assert found.mode == "RGB"
    assert found.tobytes() == decode_here(data, max_pixels=1_000_000, shorter_side=None).tobytes()


def test_one_process_decodes_one_picture_after_the_other(decoders: Decoders) -> None:
    before = {child.pid for child in children()}

    for _ in range(3):
        decode_image(AVIF, work=limit(decoders))
        with pytest.raises(ImageError, match="cannot be decoded"):
            decode_image(AVIF[:200], work=limit(decoders))

    assert len({child.pid for child in children()} - before) == 1


def test_what_takes_too_long_is_ended_and_the_next_picture_is_decoded(decoders: Decoders) -> None:
    with pytest.raises(ImageError, match=r"decodes in 0\.5 s of processor time") as caught:
        decode_image(LONG, work=limit(decoders, 0.5))

    assert caught.value.reason == "image_too_much_work"
    assert decode_image(AVIF, work=limit(decoders)).size == (120, 90)


def test_what_takes_too_much_memory_is_refused(decoders: Decoders) -> None:
    bomb = files.tiff(zlib.compress(bytes(1_000)), 100, 100, compression=8, rows=100, tile=40_000)

    with pytest.raises(ImageError, match="needs too much memory") as caught:
        decode_image(bomb, max_pixels=16_000_000, work=limit(decoders))

    assert caught.value.reason == "image_too_much_work"
    assert decode_image(AVIF, work=limit(decoders)).size == (120, 90)


def test_a_decoder_that_crashes_costs_its_picture(decoders: Decoders) -> None:
    child = started(decoders)
    with ThreadPoolExecutor() as pool:
        crashed = pool.submit(decode_image, LONG, work=limit(decoders))
        wait_for_work(child)
        child.send_signal(signal.SIGSEGV)

        with pytest.raises(ImageError, match=r"the decoder crashed on these .* bytes \(SIGSEGV\)") as caught:
            crashed.result()

    assert caught.value.reason == "image_undecodable"
    assert decode_image(AVIF, work=limit(decoders)).size == (120, 90)


def test_a_process_that_somebody_ends_costs_no_picture(decoders: Decoders) -> None:
    middling = files.scan_bomb(scans=150)  # more than a second on any machine: it does not end before it is killed

    started(decoders).kill()
    child = started(decoders)
    with ThreadPoolExecutor() as pool:
        found = pool.submit(decode_image, middling, work=limit(decoders))
        wait_for_work(child)
        child.kill()

        assert found.result().size == (4000, 4000)
    assert is_gone(child.pid)


def test_a_process_that_a_signal_holds_costs_no_picture(decoders: Decoders) -> None:
    child = started(decoders)

    child.suspend()

    assert decode_image(AVIF, work=limit(decoders)).size == (120, 90)
    assert is_gone(child.pid)


@pytest.mark.parametrize("held_looks", [1, 1_000], ids=["seen as held", "only slow"])
def test_a_machine_that_lets_no_decoder_work_blames_no_picture(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch, held_looks: int
) -> None:
    monkeypatch.setattr(decoder_process, "_HELD_LOOKS", held_looks)
    monkeypatch.setattr(decoder_process, "_LEAST_WALL_S", 1.5)
    take = decoders._take

    def take_held() -> DecoderProcess:
        process = take()
        os.kill(process._process.pid, signal.SIGSTOP)
        return process

    monkeypatch.setattr(decoders, "_take", take_held)

    with pytest.raises(DecodersBusyError, match="got too little processor time"):
        decode_image(AVIF, work=limit(decoders, 0.1))


def test_a_picture_that_was_accepted_is_not_refused_by_counting(decoders: Decoders) -> None:
    many = files.encoded(files.photograph(64, 48), "JPEG").replace(
        b"\xff\xdb", b"\xff\xfe\0\2" * 3_000 + b"\xff\xdb", 1
    )

    with pytest.raises(ImageError, match="segments"):
        decode_image(many, work=WorkLimit.of(60.0, decoders))
    assert decode_image(many, work=WorkLimit(60.0, None, decoders)).size == (64, 48)


def test_a_decoder_process_that_does_not_start_blames_no_picture(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(DecodersBusyError, match=r"a decoder process of /bin/false did not start \(status 1\)"):
        decode_image(AVIF, work=limit(decoders))


def test_pictures_that_find_no_place_are_told_to_come_again(decoders: Decoders) -> None:
    results: list[str] = []

    def decode() -> None:
        try:
            decode_image(LONG, work=limit(decoders, 1.0))
        except DecodersBusyError:
            results.append("busy")
        except ImageError as error:
            results.append(str(error.reason))

    threads = [threading.Thread(target=decode) for _ in range(5)]
    for thread in threads[:2]:
        thread.start()
    wait_for(lambda: decoders._pending == 2, what="two pictures that have a place")
    for thread in threads[2:]:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(results) == ["busy"] * 3 + ["image_too_much_work"] * 2


def test_ordinary_pictures_do_not_wait_for_others(decoders: Decoders) -> None:
    ordinary = files.encoded(files.photograph(120, 90), "JPEG")
    child = started(decoders)

    with ThreadPoolExecutor() as pool:
        long = pool.submit(decode_image, LONG, work=limit(decoders))
        wait_for_work(child)
        for _ in range(20):
            decode_image(ordinary, work=limit(decoders))

        assert not long.done()
        child.send_signal(signal.SIGSEGV)
        with pytest.raises(ImageError, match="crashed"):
            long.result()


def test_a_fork_has_decoders_of_its_own(decoders: Decoders) -> None:
    decode_image(AVIF, work=limit(decoders))

    if (pid := os.fork()) == 0:
        code = 1
        try:
            code = int(decode_image(AVIF, work=limit(decoders)).size != (120, 90))
            decoders.close()
        finally:
            os._exit(code)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert decode_image(AVIF, work=limit(decoders)).size == (120, 90)


def test_decoders_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    (tmp_path / "long.jpg").write_bytes(LONG)
    (tmp_path / "picture.avif").write_bytes(AVIF)
    code = (
        "import pathlib, sys\n"
        "from vitrine.images.decoding import WorkLimit, decode_image\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "decode_image((folder / 'picture.avif').read_bytes())\n"
        "print('decoded', flush=True)\n"
        "decode_image((folder / 'long.jpg').read_bytes(), work=WorkLimit(2.0, None))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert parent.stdout is not None and parent.stdout.readline() == b"decoded\n"
    (child,) = psutil.Process(parent.pid).children()

    parent.kill()
    parent.wait()
    parent.stdout.close()

    wait_for(lambda: is_gone(child.pid), what="the end of the decoder process")
