noinst_LTLIBRARIES += libplacement.la
libplacement_la_SOURCES = %reldir%/placement.h %reldir%/placement.c
libplacement_la_CFLAGS = $(AM_CFLAGS) $(HWLOC_CFLAGS)
libplacement_la_LIBADD = $(HWLOC_LIBS)

noinst_LTLIBRARIES += libstores.la
libstores_la_SOURCES = \
    %reldir%/cancels.h %reldir%/cancels.c \
    %reldir%/partials.h %reldir%/partials.c %reldir%/transfers.h %reldir%/transfers.c

lib_LTLIBRARIES += libippmpi.la
libippmpi_la_SOURCES = \
    %reldir%/mpi_engine.h %reldir%/app.h %reldir%/app.c %reldir%/engine.h %reldir%/engine.c \
    %reldir%/comm.c %reldir%/drive.c %reldir%/job.c %reldir%/metadata.c %reldir%/output.c \
    %reldir%/python_buffers.h %reldir%/python_buffers.c %reldir%/python_embed.c %reldir%/python_module.c \
    %reldir%/python_reduction.h %reldir%/python_reduction.c \
    %reldir%/reduction.c %reldir%/request.c %reldir%/run_queue.c %reldir%/signals.c \
    %reldir%/together.h %reldir%/together.c %reldir%/task_run.c %reldir%/task_store.c %reldir%/tasks.h %reldir%/tasks.c \
    %reldir%/topology.h %reldir%/topology.c %reldir%/world.h %reldir%/world.c
libippmpi_la_CPPFLAGS = $(AM_CPPFLAGS) $(PYEMBED_CFLAGS) $(JANSSON_CFLAGS) $(HWLOC_CFLAGS) \
    -DIPP_PYTHON3='"$(PYTHON3)"' -DIPP_PYTHON_DIR='"$(ipppythondir)"' \
    -DIPP_PYTHON_FROM_BIN='"share/ippmpi/python"'
libippmpi_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -export-symbols-regex '^ipp_(serve|init|is_service|comm|finalize|version|task_[a-z_]+)$$'
libippmpi_la_LIBADD = libbridge.la libbalancer.la libsched.la liblink.la libwire.la libstores.la libbase.la \
    libplacement.la $(PYEMBED_LIBS) $(HWLOC_LIBS) $(JANSSON_LIBS) -lpthread
pkgconfig_DATA += src/mpi_engine/ippmpi.pc

bin_PROGRAMS += ipp-engine
ipp_engine_SOURCES = %reldir%/ipp_engine.c
# Finds its library from where it stands: libtool leaves /usr/local/lib to an ldconfig that nobody has run.
ipp_engine_LDFLAGS = $(AM_LDFLAGS) -Wl,-rpath,'$$ORIGIN/../lib'
ipp_engine_LDADD = libippmpi.la libbase.la
