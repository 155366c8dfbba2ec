.PHONY: help
help:
	@echo setting up
