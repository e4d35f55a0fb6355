# SPDX-License-Identifier: BSD-3-Clause
# The Python that engines run, installed with its folders below $(ipppythondir); engines find it there.

ipppythondir = $(pkgdatadir)/python
pythonbasedir = $(pkgdatadir)
nobase_dist_pythonbase_DATA = \
	%reldir%/ippmpi/__init__.py \
	%reldir%/ippmpi/engine/__init__.py \
	%reldir%/ippmpi/engine/calls.py \
	%reldir%/ippmpi/engine/completion.py \
	%reldir%/ippmpi/engine/environment.py \
	%reldir%/ippmpi/engine/errors.py \
	%reldir%/ippmpi/engine/functions.py \
	%reldir%/ippmpi/engine/imports.py \
	%reldir%/ippmpi/engine/interrupt.py \
	%reldir%/ippmpi/engine/ipython.py \
	%reldir%/ippmpi/engine/kernel.py \
	%reldir%/ippmpi/engine/light.py \
	%reldir%/ippmpi/engine/messages.py \
	%reldir%/ippmpi/engine/names.py \
	%reldir%/ippmpi/engine/pickles.py \
	%reldir%/ippmpi/engine/reduce.py \
	%reldir%/ippmpi/engine/reporting.py \
	%reldir%/ippmpi/engine/session.py \
	%reldir%/ippmpi/engine/shell.py \
	%reldir%/ippmpi/engine/streams.py \
	%reldir%/ippmpi/engine/terminal.py \
	%reldir%/ippmpi/engine/values.py \
	%reldir%/ippmpi/engine/world.py

EXTRA_DIST += \
	%reldir%/ippmpi/engine/BUILTIN.md \
	tests/python/conftest.py \
	tests/python/fake/_ippmpi_engine.py \
	tests/python/fake_engine.py \
	tests/python/pytest.ini \
	tests/python/test_engine_apply.py \
	tests/python/test_engine_call.py \
	tests/python/test_engine_environment.py \
	tests/python/test_engine_execute.py \
	tests/python/test_engine_interrupt.py \
	tests/python/test_engine_names.py \
	tests/python/test_engine_reduce.py \
	tests/python/test_engine_terminal.py

# Hundreds of engines start at once and cannot write there: compile at installation.
install-data-hook: python-compile
uninstall-hook: python-uncompile

.PHONY: python-compile python-uncompile check-python
python-compile:
	$(PYTHON3) -m compileall -q -d $(ipppythondir) $(DESTDIR)$(ipppythondir)

python-uncompile:
	rm -rf $(DESTDIR)$(ipppythondir)/ippmpi/__pycache__ $(DESTDIR)$(ipppythondir)/ippmpi/engine/__pycache__

check-python:
	$(PYTHON3) -B -m pytest -q $(top_srcdir)/tests/python
