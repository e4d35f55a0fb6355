dist_man_MANS += docs/man/ipp-engine.1
dist_man_MANS += docs/man/ippmpi.3
dist_man_MANS += docs/man/ippsteer.3
EXTRA_DIST += docs/tour.md docs/performance.md docs/scaling.md docs/decisions .editorconfig
