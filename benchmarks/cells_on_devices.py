"""Memory of cells on the devices, and cells per second: dealt to devices, streamed, or all on one.

    python benchmarks/cells_on_devices.py [--cells=20000] [--genes=2000] [--devices=4] [--chunks=10]

CPA is trained on generated cells (`generated_cells.py`) for `--epochs` epochs, each way in turns, `--rounds` times; the
first turn compiles and does not count. Bytes are those of the sparse rows on one device; dense, the cells would take
4 bytes for every gene. Without accelerators the devices are shares of one CPU, so that only memory is gained.
"""

import pathlib
import statistics
from collections.abc import Sequence

import jax
from absl import app, flags
from generated_cells import write_cells
from measuring import about, timed
from our_cells import course_of, trained

from perturbjax.models.cell_learner import Course
from perturbjax.training.cell_epoch import dealt_to_train, make_trainer

_CELLS = flags.DEFINE_integer('cells', 20_000, 'training cells')
_GENES = flags.DEFINE_integer('genes', 2_000, 'genes')
_BATCH = flags.DEFINE_integer('batch', 2048, 'cells of a step')
_DEVICES = flags.DEFINE_integer('devices', 4, 'devices that cells are dealt to')
_CHUNKS = flags.DEFINE_integer('chunks', 10, 'parts of an epoch that are streamed')
_EPOCHS = flags.DEFINE_integer('epochs', 1, 'epochs of a turn')
_ROUNDS = flags.DEFINE_integer('rounds', 3, 'turns that count')
_OUT = flags.DEFINE_string('out', 'build/cells_on_devices', 'the folder for the cells')


class Way:
    """One way of having the cells on devices; `seconds` are those of its turns."""

    def __init__(self, course: Course, chunks: int, devices: int):
        self.trainer = make_trainer('cpa', course, chunks, jax.devices()[:devices])
        self.seconds: list[float] = []

    def turn(self) -> None:
        """Trains from the start."""
        self.seconds.append(timed(lambda: trained(self.trainer, _EPOCHS.value)))

    def bytes(self) -> int:
        """Of the sparse rows of a part of an epoch on one device."""
        course = self.trainer.course
        dealt = dealt_to_train(course, course.training)
        part = next(self.trainer.pipeline.parts(dealt, course.plan(0, len(dealt.numbers))))
        return sum(each.addressable_shards[0].data.nbytes for each in part.data.rows[:2])


def main(_: Sequence[str]) -> None:
    folder = pathlib.Path(_OUT.value) / f'{_GENES.value}_genes_{_CELLS.value}_cells'
    if not (folder / 'cells.h5ad').exists():
        write_cells(folder, _CELLS.value, _GENES.value, 30)
    course = course_of('cpa', folder, {'batch_size': _BATCH.value})
    cells, genes = course.values.shape
    print(about())
    print(f'{cells:,} cells, {genes:,} genes, {course.values.nnz / cells / genes:.0%} of the values are not 0')
    print(f'dense: {4 * cells * genes / 2**20:.0f} MiB')
    chunks, devices = _CHUNKS.value, _DEVICES.value
    ways = {
        'one device': Way(course, 1, 1),
        f'streamed in {chunks} parts': Way(course, chunks, 1),
        f'dealt to {devices} devices': Way(course, 1, devices),
    }
    for _ in range(1 + _ROUNDS.value):
        for way in ways.values():
            way.turn()
    for name, way in ways.items():
        rate = _EPOCHS.value * len(course.training) / statistics.median(way.seconds[1:])
        print(f'{name:24}{way.bytes() / 2**20:8.1f} MiB on a device{rate:10.0f} cells/s')


if __name__ == '__main__':
    jax.config.update('jax_num_cpu_devices', 8)
    app.run(main)
