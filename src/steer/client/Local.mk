noinst_LTLIBRARIES += libclient.la
libclient_la_SOURCES = \
    %reldir%/client_private.h %reldir%/about.c %reldir%/arrays.c %reldir%/chunks.c %reldir%/connect.c %reldir%/future.c \
    %reldir%/line.c %reldir%/outbox.c %reldir%/request.c %reldir%/session.c %reldir%/ssh.c %reldir%/steer.c \
    %reldir%/usual.c %reldir%/where.c
libclient_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(NETTLE_CFLAGS) $(ZMQ_CFLAGS)

# The compiler is MPI's: nothing of MPI shall be needed where a client runs.
include_HEADERS += include/ippsteer.h
lib_LTLIBRARIES += libippsteer.la
libippsteer_la_SOURCES =
libippsteer_la_LDFLAGS = $(AM_LDFLAGS) -Wl,--as-needed -version-info 0:0:0 \
    -export-symbols-regex '^ipp_(steer|future|answer)_'
libippsteer_la_LIBADD = libclient.la libwire.la libbase.la $(JANSSON_LIBS) $(NETTLE_LIBS) $(ZMQ_LIBS) -lpthread
pkgconfig_DATA += src/steer/client/ippsteer.pc
