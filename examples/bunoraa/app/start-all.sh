#!/bin/bash
# Everything in one instance: the site and the background tasks. When one of them ends, so does the instance.
cd "$(dirname "$0")" || exit 1

gunicorn core.wsgi:application --workers "${WEB_CONCURRENCY:-4}" &
python3 -m celery -A core worker --queues celery,emails,ml --concurrency 2 --loglevel debug &

trap 'jobs -p | xargs -r kill; wait' TERM INT
wait -n
code=$?
jobs -p | xargs -r kill
wait
exit "$code"
