ARG RELEASE=trixie
FROM debian:${RELEASE}-slim
COPY packages/install.sh packages/services.txt /tmp/
RUN /tmp/install.sh /tmp/services.txt && rm /tmp/install.sh /tmp/services.txt

ENV HOME=/tmp LC_ALL=C.UTF-8
COPY services/run-* /usr/local/bin/
RUN mkdir --mode 1777 /data
WORKDIR /tmp
USER 10001:10001
CMD ["run-redis"]
