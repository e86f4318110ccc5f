#!/usr/bin/env python
import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmgateway.settings")
    try:
        from django.core.management import execute_from_command_line

        from llmgateway import start
        from llmgateway.embedded.postgres import PostgresUnavailable

        try:
            start.set_up()
            execute_from_command_line(sys.argv)
        except PostgresUnavailable as error:
            sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
