"use strict";
// Requests of both pages: what the server refuses is an error with its sentence.
async function ask(method, path, body) {
  const options = { method, headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer: is the command still running?");
  }
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}

const json = async (method, path, body) => (await ask(method, path, body)).json();
