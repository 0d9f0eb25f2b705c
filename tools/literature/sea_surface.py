"""Sea-surface temperature of fifty winters, which eofs holds as an example: the data of two examples."""

from __future__ import annotations

import dataclasses

import numpy as np

from tools.literature.package_files import package_file

FIRST_WINTER = 1963
"""The year of the first winter's January; a winter lasts from November to March."""
_MISSING = 1e10


@dataclasses.dataclass(frozen=True, eq=False)
class SeaSurface:
    """Anomalies in kelvin, 0 over land, [winters, latitude, longitude] on a grid of 5°."""

    anomalies: np.ndarray
    sea: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray

    @property
    def nino34(self) -> np.ndarray:
        """The box of Niño 3.4, 5° S to 5° N and 170° W to 120° W, as a mask of the grid."""
        down, along = np.abs(self.latitude) <= 5, (self.longitude >= 190) & (self.longitude <= 240)
        return down[:, None] & along[None]


def sea_surface() -> SeaSurface:
    """Read the anomalies out of the installed package."""
    from scipy.io import netcdf_file

    path = package_file("eofs", "examples/example_data/sst_ndjfm_anom.nc", "eofs==2.0.0")
    with netcdf_file(path, mmap=False) as file:
        values = {name: np.array(file.variables[name][:], np.float64) for name in ("sst", "latitude", "longitude")}
    sea = (np.abs(values["sst"]) < _MISSING).all(axis=0)
    anomalies = np.where(sea, values["sst"], 0).astype(np.float32)
    return SeaSurface(anomalies, sea, values["latitude"], values["longitude"])
