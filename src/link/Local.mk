noinst_LTLIBRARIES += liblink.la
liblink_la_SOURCES = \
    %reldir%/batch.c %reldir%/link.h %reldir%/link_private.h %reldir%/link.c \
    %reldir%/bell.h %reldir%/bell.c %reldir%/body.c \
    %reldir%/incoming.c %reldir%/lifeline.h %reldir%/lifeline.c \
    %reldir%/multicast.c %reldir%/operations.c %reldir%/outgoing.c %reldir%/packet.c \
    %reldir%/tree.h %reldir%/tree.c %reldir%/wide.c
liblink_la_LIBADD = -lpthread
