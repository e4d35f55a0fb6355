# Quick lints run with every check; lint runs all of them.
quick_lints = \
    %reldir%/fences.test %reldir%/format.test %reldir%/functions.test %reldir%/python.test %reldir%/shell.test
lints = $(quick_lints) %reldir%/cppcheck.test %reldir%/tidy.test
dist_check_SCRIPTS += $(lints)
EXTRA_DIST += %reldir%/common.sh %reldir%/long_functions %reldir%/whole_dist .clang-format .clang-tidy
TESTS += $(quick_lints)

.PHONY: lint format
lint:
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(lints)'
format:
	cd $(top_srcdir) && find src include tests bench examples -name '*.[ch]' -exec clang-format -i {} +
