"""Turns at torch's default generators: re-entered by their holder alone, in a forked process too."""

import os
import subprocess
import sys

import pytest

# In a new interpreter: one that has forked, of which threads of other tests are a part, is no place to look at locks.
BEGIN = """
import os, threading
from reparam.distributions import default_generators

def enters(seconds):  # whether another thread gets its turn
    done = threading.Event()
    def enter():
        with default_generators():
            done.set()
    threading.Thread(target=enter, daemon=True).start()
    return done.wait(seconds)

def in_child(run):
    if not (child := os.fork()):
        try:
            code = 0 if run() else 3
        except BaseException as error:
            print(repr(error), flush=True)
            code = 4
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
HELD_BY_THE_THREAD_THAT_FORKS = """
child = None
try:
    with default_generators():
        if not (child := os.fork()):
            with default_generators():
                pass
            assert not enters(0.5), "another thread has a turn while this one has"
    if not child:
        assert enters(20), "nobody has a turn after this one"
except BaseException as error:
    if child:
        raise
    print(repr(error), flush=True)
    os._exit(4)
if not child:
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert enters(20)
"""
HELD_BY_ANOTHER_THREAD = """
begun, end = threading.Event(), threading.Event()
def hold():
    with default_generators():
        begun.set()
        end.wait()
def wait():  # first in the queue
    with default_generators():
        pass
holder, waiting = threading.Thread(target=hold), threading.Thread(target=wait)
holder.start()
begun.wait()
waiting.start()
def twice():
    with default_generators(), default_generators():
        pass
    return enters(20)
in_child(twice)
end.set()
holder.join()
waiting.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.parametrize(
    "program", [HELD_BY_THE_THREAD_THAT_FORKS, HELD_BY_ANOTHER_THREAD], ids=["held by this thread", "by another"]
)
def test_a_forked_process_has_the_turn_that_its_thread_has(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BEGIN + program], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
