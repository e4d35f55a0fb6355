# SPDX-License-Identifier: BSD-3-Clause
"""Figures of speed and cost: one function each, registered in table.FIGURES."""
