"""Shares the work of a group: takes events from the queue that the library has declared for it.

    python3 work.py shop.mailer 3

The arguments are the group, whose name is that of its queue, and after how many events to end. An event with "fail" in it
is rejected: the broker then moves it to the dead letters of the group.
"""

import json
import os
import sys

import pika

group, wanted = sys.argv[1], int(sys.argv[2])
connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.queue_declare(group, passive=True)  # it must be there: its arguments are the library's
channel.basic_qos(prefetch_count=10)

seen = 0
for method, properties, body in channel.consume(group):
    payload = json.loads(body)
    if "fail" in payload:
        channel.basic_reject(method.delivery_tag, requeue=False)
    else:
        channel.basic_ack(method.delivery_tag)
    print(json.dumps(payload), flush=True)
    seen += 1
    if seen == wanted:
        break

channel.cancel()
connection.close()
