"""A mail server on a free port of this machine: prints its port, then each mail as a line of JSON.

The first argument is how many mails it answers with a temporary failure before it takes any.
"""

import email
import json
import sys
import time

from aiosmtpd.controller import Controller


class Mailbox:
    def __init__(self, refusals):
        self.refusals = refusals

    async def handle_DATA(self, server, session, envelope):
        if self.refusals > 0:
            self.refusals -= 1
            return "451 try again later"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
        line = {
            "to": envelope.rcpt_tos,
            "subject": message["subject"],
            "id": message["message-id"],
            "text": parts.get("text/plain", ""),
            "html": parts.get("text/html", ""),
        }
        print(json.dumps(line), flush=True)
        return "250 kept"


controller = Controller(Mailbox(int(sys.argv[1])), hostname="127.0.0.1", port=0)
controller.start()
print(controller.server.sockets[0].getsockname()[1], flush=True)
while True:
    time.sleep(3600)
