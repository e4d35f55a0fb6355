bin_PROGRAMS += ipp-cluster
ipp_cluster_SOURCES = \
    %reldir%/launch.h %reldir%/main.c \
    %reldir%/life.c %reldir%/mpirun.c %reldir%/notify.c %reldir%/paths.c %reldir%/proc.c \
    %reldir%/start.c %reldir%/state.c %reldir%/status.c %reldir%/stop.c
ipp_cluster_CPPFLAGS = $(AM_CPPFLAGS) -DIPP_MPI_FLAVOUR='"$(MPI_FLAVOUR)"' -DIPP_MPIRUN='"$(MPIRUN)"'
ipp_cluster_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
ipp_cluster_LDADD = libwire.la libbase.la $(JANSSON_LIBS)
dist_man_MANS += docs/man/ipp-cluster.1
