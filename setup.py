"""What setup.cfg cannot say: the wheel holds the experiment files, as `perturbjax/experiments`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=['perturbjax*']), 'perturbjax.experiments'],
    package_dir={'perturbjax.experiments': 'experiments'},
    package_data={
        'perturbjax': ['py.typed'],
        'perturbjax.experiments': ['*.csv'],
        'perturbjax.datasets': ['*.csv.gz', '*.LICENSE'],
    },
)
