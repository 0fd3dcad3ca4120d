"""Molecular dynamics: MOMT, the Wang-Landau bias, tensile runs; any ASE calculator."""
