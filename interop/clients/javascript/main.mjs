// Asks the default credential chain of the JavaScript SDK for credentials, once at start and once per `again` on stdin.

import { createInterface } from "node:readline";
import { defaultProvider } from "@aws-sdk/credential-provider-node";

process.on("uncaughtException", (error) => {
  console.error(`${error.name}: ${error.message}`);
  process.exit(1);
});

const chain = defaultProvider();

async function show(options) {
  const credentials = await chain(options);
  console.log(
    JSON.stringify({
      accessKeyId: credentials.accessKeyId,
      hasSecret: Boolean(credentials.secretAccessKey),
      hasToken: Boolean(credentials.sessionToken),
      expiration: credentials.expiration?.toISOString() ?? "",
    }),
  );
}

await show();
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== "again") break;
  await show({ forceRefresh: true });
}
process.exit(0);
