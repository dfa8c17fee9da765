// SPDX-License-Identifier: MIT
// /v1/responses.
#include "serve/http_impl.h"
#include "serve/responses_form.h"

namespace bulkhead::serve {

void HttpServer::Impl::add_response_routes() {
  on_post("/v1/responses", [this](const Request& request, Response& response) {
    answer(responses_form(responses, *owner_of(request)), request, response);
  });
  const ApiError none{.status = 404, .type = "not_found_error", .message = "there is no such response"};
  on_get("/v1/responses/:id", [this, none](const Request& request, Response& response) {
    const auto found = responses.find(*owner_of(request), request.path_params.at("id"));
    if (!found) return send(response, none);
    send(response, found->shown);
  });
  on_delete("/v1/responses/:id", [this, none](const Request& request, Response& response) {
    const auto& id = request.path_params.at("id");
    if (!responses.remove(*owner_of(request), id)) return send(response, none);
    send(response, Json{{"id", id}, {"object", "response"}, {"deleted", true}});
  });
}

}  // namespace bulkhead::serve
