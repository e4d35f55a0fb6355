# The compiled half of the Python client, beside its other half in $(ipppythondir): any CPython from 3.11 on takes it.
# In the build tree python/ippmpi/_steer.so, so that $(builddir)/python on PYTHONPATH completes $(srcdir)/python.
if HAVE_STABLE_BUFFERS
ippmpiclientdir = $(ipppythondir)/ippmpi
ippmpiclient_LTLIBRARIES = python/ippmpi/_steer.la
python_ippmpi__steer_la_SOURCES = \
    %reldir%/steer_python.h %reldir%/call.c %reldir%/connection.c %reldir%/lend.c %reldir%/module.c \
    %reldir%/queue.c %reldir%/request.c %reldir%/send.c %reldir%/turn.c
python_ippmpi__steer_la_CPPFLAGS = $(AM_CPPFLAGS) $(PYEMBED_CFLAGS) -DPy_LIMITED_API=0x030b0000
# The compiler is MPI's: nothing of MPI shall be needed where a client runs. It finds its library from where it stands.
python_ippmpi__steer_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -Wl,--as-needed \
    -Wl,-rpath,'$$ORIGIN/../../../../lib' -export-symbols-regex '^PyInit_'
python_ippmpi__steer_la_LIBADD = libippsteer.la -lpthread

all-local: python/ippmpi/_steer.so
python/ippmpi/_steer.so: python/ippmpi/_steer.la
	$(AM_V_at)$(LN_S) -f .libs/_steer.so $@
CLEANFILES += python/ippmpi/_steer.so

# libtool links it again when it is installed, and needs its library there.
relinked = install-ippmpiclientLTLIBRARIES
$(relinked): install-libLTLIBRARIES
endif
