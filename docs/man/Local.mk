dist_man_MANS += docs/man/ipp-engine.1
EXTRA_DIST += docs/tour.md docs/performance.md docs/decisions .editorconfig
