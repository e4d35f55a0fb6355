# Applications whose ranks are engines. An installation has their sources; make check runs them.
examplesdir = $(docdir)/examples
dist_examples_DATA = %reldir%/uts.c %reldir%/mandelbrot.c %reldir%/primes.c %reldir%/prime_server.c %reldir%/steer_client.c %reldir%/seed_demo.py
noinst_PROGRAMS += examples/uts examples/mandelbrot examples/primes examples/prime_server
examples_prime_server_SOURCES = %reldir%/prime_server.c
examples_prime_server_LDADD = libippmpi.la
examples_primes_SOURCES = %reldir%/primes.c
examples_primes_LDADD = libippmpi.la
examples_uts_SOURCES = %reldir%/uts.c
examples_uts_CFLAGS = $(AM_CFLAGS) $(NETTLE_CFLAGS)
examples_uts_LDADD = libippmpi.la $(NETTLE_LIBS) -lm
examples_mandelbrot_SOURCES = %reldir%/mandelbrot.c
examples_mandelbrot_LDADD = libippmpi.la
