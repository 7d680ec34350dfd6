"""Phase-field simulation of microstructures whose every pixel is known."""

from phasegen.campaign import simulate
from phasegen.errors import InputError
from phasegen.recipes import Microstructure
from phasegen.store import open_store

__all__ = ["InputError", "Microstructure", "open_store", "simulate"]
