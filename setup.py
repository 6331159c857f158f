"""Find the packages in both roots: ``find:`` in setup.cfg keeps only the first."""

from setuptools import find_namespace_packages, setup

PLUGINS = find_namespace_packages("plugins", include=["stellarstream_*"])
CORE = find_namespace_packages(".", include=["stellarstream_core", "stellarstream_core.*"])

setup(
    packages=CORE + PLUGINS,
    package_dir={name: f"plugins/{name.replace('.', '/')}" for name in PLUGINS if "." not in name},
)
