noinst_LTLIBRARIES += libwire.la
libwire_la_SOURCES = \
    %reldir%/wire.h %reldir%/ops.def \
    %reldir%/connection.c %reldir%/connection_path.c \
    %reldir%/form.c %reldir%/head.c %reldir%/header.c %reldir%/json.c %reldir%/message.c \
    %reldir%/ops.c %reldir%/pack.c %reldir%/random.c %reldir%/sign.c %reldir%/sign.h %reldir%/socket.c
libwire_la_CFLAGS = $(AM_CFLAGS) -pthread $(JANSSON_CFLAGS) $(NETTLE_CFLAGS) $(ZMQ_CFLAGS)
libwire_la_LIBADD = $(JANSSON_LIBS) $(NETTLE_LIBS) $(ZMQ_LIBS) -lpthread
