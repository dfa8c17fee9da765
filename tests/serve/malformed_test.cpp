// SPDX-License-Identifier: MIT
// A table of requests that are wrong (malformed.json): each gets its status, in the form of its route, with the name of
// what is wrong; the server goes on as if none had come. What chats and completions refuse stands in server_test.cpp.
#include "paths.h"
#include "serve/served.h"

#include <string>

namespace bulkhead::testing {
namespace {

TEST(MalformedRequests, GetTheRightStatusInTheRightForm) {
  const Served served({}, {.partitions = 8});
  ASSERT_EQ(served.post("/v1/partitions", R"({"name": "held", "messages": [{"role": "user", "content": "a"}]})").status,
            201);
  const auto expected = content_of(served.chat(chat_body({"hi"})).json());
  const auto partitions = [&] { return served.get("/v1/partitions").json()["data"].size(); };
  const auto before = partitions();
  const auto table = json_of(read_file(source_folder() + "/tests/serve/malformed.json"));
  EXPECT_GE(table.size(), 60U);
  for (const auto& row : table) {
    const auto path = row["path"].get<std::string>();
    const auto body = row.contains("raw") ? row["raw"].get<std::string>() : json_text(row["body"]);
    const auto reply = served.send(row.value("method", "POST"), path, body);
    EXPECT_EQ(reply.status, row["status"]) << row << '\n' << reply.body;
    const auto answer = reply.json();
    const auto& error = answer["error"];
    EXPECT_FALSE(error["message"].get<std::string>().empty()) << row;
    EXPECT_TRUE(error["type"].is_string()) << row;
    const bool is_anthropic = path.starts_with("/v1/messages");
    EXPECT_EQ(answer.contains("type"), is_anthropic) << row;
    EXPECT_EQ(error.contains("code"), !is_anthropic) << row;
    if (row.contains("param")) {
      EXPECT_EQ(error["param"], row["param"]) << row << '\n' << reply.body;
    }
    EXPECT_EQ(reply.headers.count("X-Request-Id"), 1U) << row;
    const auto allow = reply.headers.find("Allow");
    EXPECT_EQ(allow == reply.headers.end() ? "" : allow->second, row.value("allow", "")) << row;
  }
  EXPECT_EQ(partitions(), before) << "none of them left anything";
  EXPECT_EQ(content_of(served.chat(chat_body({"hi"})).json()), expected);
  EXPECT_EQ(served.service().counters().failed, 0U) << "none of these is the server's fault";
  EXPECT_EQ(served.service().counters().in_flight, 0U);
}

}  // namespace
}  // namespace bulkhead::testing
