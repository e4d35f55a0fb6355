# SPDX-License-Identifier: BSD-3-Clause
# The Python that engines and clients run, installed with its folders below $(ipppythondir); engines find it there.

ipppythondir = $(pkgdatadir)/python
pythonbasedir = $(pkgdatadir)
nobase_dist_pythonbase_DATA = \
	%reldir%/ippmpi/__init__.py \
	%reldir%/ippmpi/_steer.pyi \
	%reldir%/ippmpi/client.py \
	%reldir%/ippmpi/errors.py \
	%reldir%/ippmpi/executor.py \
	%reldir%/ippmpi/futures.py \
	%reldir%/ippmpi/jobs.py \
	%reldir%/ippmpi/magics.py \
	%reldir%/ippmpi/native.py \
	%reldir%/ippmpi/operations.py \
	%reldir%/ippmpi/outputs.py \
	%reldir%/ippmpi/pace.py \
	%reldir%/ippmpi/packing.py \
	%reldir%/ippmpi/py.typed \
	%reldir%/ippmpi/remote.py \
	%reldir%/ippmpi/session.py \
	%reldir%/ippmpi/targets.py \
	%reldir%/ippmpi/view.py \
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
	tests/python/test_client_import.py \
	tests/python/test_client_pure.py \
	tests/python/test_engine_apply.py \
	tests/python/test_engine_call.py \
	tests/python/test_engine_environment.py \
	tests/python/test_engine_execute.py \
	tests/python/test_engine_interrupt.py \
	tests/python/test_engine_names.py \
	tests/python/test_engine_reduce.py \
	tests/python/test_engine_terminal.py

# Hundreds of engines start at once and cannot write there: compile at installation.
install-data-hook: python-compile python-path
uninstall-hook: python-uncompile python-no-path

.PHONY: python-compile python-uncompile python-path python-no-path check-python
python-compile:
	$(PYTHON3) -m compileall -q -d $(ipppythondir) $(DESTDIR)$(ipppythondir)

python-uncompile:
	rm -rf $(DESTDIR)$(ipppythondir)/ippmpi/__pycache__ $(DESTDIR)$(ipppythondir)/ippmpi/engine/__pycache__

# `import ippmpi` finds the folder where $(PYTHON3) looks for packages below our prefix; elsewhere PYTHONPATH has to say.
python-path:
	@case '$(PYTHON_SITE)' in \
	'$(prefix)'/*) \
	    $(MKDIR_P) '$(DESTDIR)$(PYTHON_SITE)' && \
	    echo '$(ipppythondir)' >'$(DESTDIR)$(PYTHON_SITE)/ippmpi.pth' ;; \
	*) echo 'To import ippmpi, put $(ipppythondir) on PYTHONPATH.' ;; \
	esac

python-no-path:
	@case '$(PYTHON_SITE)' in '$(prefix)'/*) rm -f '$(DESTDIR)$(PYTHON_SITE)/ippmpi.pth' ;; esac

check-python:
	$(PYTHON3) -B -m pytest -q $(top_srcdir)/tests/python
