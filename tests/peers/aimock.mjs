// An LLMock on a free port, which it prints, with the jobs that test_aimock.py asks for.
// The first argument is the address of a file that finished videos are said to lie at.
import { LLMock } from "@copilotkit/aimock";

const steps = { pollsBeforeInProgress: 1, pollsBeforeCompleted: 2 };
const mock = new LLMock({ port: 0, openRouterVideo: steps, grokVideo: steps });
const url = process.argv.at(-1);
const file = Buffer.from(await (await fetch(url)).arrayBuffer()).toString("base64");

mock.onVideo("kite", { video: { id: "1", status: "completed", cost: 0.35, duration: 8, url, b64: file } });
mock.onVideo("fails", { video: { id: "2", status: "failed", error: "The model did not answer." } });
mock.onVideo("blocked", { video: { id: "3", status: "failed", error: "Blocked by content moderation." } });

for (const [word, status, message] of [
  ["refused", 400, "Refused by content moderation."],
  ["wrong", 400, "This duration is not made."],
  ["empty", 402, "Insufficient credits."],
  ["busy", 429, "Too many requests."],
  ["broken", 500, "It broke."],
]) {
  mock.addFixture({
    match: { userMessage: word, endpoint: "video" },
    response: { error: { message, type: "error" }, status, retryAfter: 7 },
  });
}
console.log(await mock.start());
