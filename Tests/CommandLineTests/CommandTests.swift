import Foundation
import Testing

/// What the commands print: for people, for scripts, and for nobody.
@Suite("Commands")
struct CommandTests {
  private func json(_ arguments: [String]) throws -> [String: Any] {
    let outcome = try Program.run(arguments, in: "/")
    #expect(outcome.status == 0, "\(outcome.errors)")
    return try #require(JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
  }

  // MARK: generate

  private func generate(_ arguments: [String]) throws -> String {
    let outcome = try Program.run(["generate", try Samples.gguf, "-n", "40"] + arguments, in: "/")
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    return outcome.output  // read as UTF-8: what is not valid does not get here
  }

  @Test("generate: the same seed gives the same text, another seed another, temperature 0 always the same")
  func generation() throws {
    let prompt = ["-p", "Once upon a time"]
    let first = try generate(prompt + ["--seed", "1"])
    #expect(first.hasPrefix("Once upon a time") && first.hasSuffix("\n") && first.count > 40)
    #expect(try generate(prompt + ["--seed", "1"]) == first)
    #expect(try generate(prompt + ["--seed", "1", "--threads", "1"]) == first)
    #expect(try generate(prompt + ["--seed", "2"]) != first)
    let greedy = try generate(prompt + ["--temperature", "0"])
    #expect(try generate(prompt + ["--temperature", "0", "--seed", "9"]) == greedy)
    // Tokens of a single byte, which the model has not learned, are less likely than these; alone they are no UTF-8.
    _ = try generate(["-p", "naïve 🦙 模型 ", "--temperature", "3", "--top-k", "100", "--top-p", "1"])
  }

  @Test("generate: prompts that cannot be continued")
  func prompts() throws {
    let scratch = try Scratch()
    let model = try Samples.gguf
    let long = String(repeating: "Once upon a time there was. ", count: 100)
    try Refusal.check(["generate", model, "-p", long], in: scratch, status: 64, ["tokens", "context 256"])
    try scratch.write(GGUF().bytes, to: "other.gguf")
    try Refusal.check(["generate", "other.gguf", "-p", "x"], in: scratch, ["other.gguf", "language models"])
  }

  // MARK: inspect, eval, bench

  @Test("inspect: text and JSON of every kind of input agree on the tensors")
  func inspection() throws {
    var seen: Set<Int> = []
    for path in [
      Reference.model, Reference.folder, try Samples.gguf, try Samples.safetensorsFolder,
      try Samples.artifact,
    ] {
      let object = try json(["inspect", path, "--json"])
      #expect(object["schema"] as? String == "compress.inspect")
      seen.insert(try #require(object["parameters"] as? Int))
      let tensors = try #require(object["tensors"] as? [[String: Any]])
      let text = try Program.run(["inspect", path, "--tensors"], in: "/").output
      for tensor in tensors { #expect(text.contains(try #require(tensor["name"] as? String))) }
      #expect(!text.contains("\u{1B}"))
      let tree = try Program.run(["inspect", path], in: "/").output
      // Blocks that are alike share a line, so the tree is shorter than the list.
      #expect(
        tree.contains(", each of ") && tree.split(separator: "\n").count < text.split(separator: "\n").count)
      #expect(tree.contains("1,902,336"))
    }
    #expect(seen == [1_902_336])
  }

  @Test("eval and bench: JSON parses and says what the text says")
  func measurements() throws {
    let options = ["--eval-tokens", "512"]
    let object = try json(
      ["eval", try Samples.int8Artifact, "--baseline", Reference.folder, "--json"] + options)
    let evaluation = try #require(object["evaluation"] as? [String: Any])
    let metrics = try #require(evaluation["metrics"] as? [String: Any])
    #expect(metrics["divergence"] is [String: Any])
    let text = try Program.run(["eval", try Samples.gguf] + options, in: "/")
    #expect(text.status == 0 && text.output.contains("perplexity"))
    let bench = try json([
      "bench", try Samples.gguf, "--json", "--runs", "1", "--tokens", "8", "--prompt", "16",
    ])
    #expect(bench["prefill"] is [String: Any] && bench["decode"] is [String: Any])
    #expect((bench["peakMemory"] as? Int ?? 0) > 1 << 20)
  }

  // MARK: run

  @Test("a recipe of two stages; the artifact does not depend on the number of threads")
  func recipe() throws {
    let scratch = try Scratch()
    let recipe = """
      stages:
        - quantize: {format: int8}
        - quantize: {format: int4, allow-requantize: true}
      level: 1
      evaluation: {tokens: 512, latency: false}
      """
    try scratch.write(Array(recipe.utf8), to: "r.yaml")
    for threads in ["1", "3"] {
      let outcome = try Program.run(
        ["--recipe", "r.yaml", Reference.model, "-o", threads, "--threads", threads], in: scratch.path)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.output.contains("2 int4"))
    }
    for stage in ["0-baseline", "1-int8", "2-int4"] {
      let name = "\(stage)/reference.gguf.zst"
      #expect(try scratch.read("1/" + name) == scratch.read("3/" + name))
    }
  }

  @Test("a recipe's training keeps what its teacher writes and predicts where --teacher-cache says")
  func cachedRecipe() throws {
    let scratch = try Scratch()
    let recipe = """
      training: {text: self, tokens: 400, context: 64}
      stages:
        - quantize: {format: q4_0, method: rtn}
        - recover: {steps: 1, batch-tokens: 128, teacher-tokens: 8}
      level: 1
      evaluation: {tokens: 256, latency: false}
      """
    try scratch.write(Array(recipe.utf8), to: "r.yaml")
    for threads in ["1", "3"] {
      let outcome = try Program.run(
        [
          "--recipe", "r.yaml", Reference.model, "-o", "out-" + threads, "--teacher-cache", "kept-" + threads,
          "--threads", threads,
        ], in: scratch.path)
      #expect(outcome.status == 0, "\(outcome.errors)")
    }
    let kept = try FileManager.default.contentsOfDirectory(atPath: scratch.path + "/kept-1").sorted()
    #expect(kept.map { String($0.prefix(5)) } == ["teach", "text-"])
    for name in kept { #expect(try scratch.read("kept-1/" + name) == scratch.read("kept-3/" + name)) }
    let name = "2-recover/reference.gguf.zst"
    #expect(try scratch.read("out-1/" + name) == scratch.read("out-3/" + name))
  }

  @Test("--quiet prints the table only; without it, steps go to standard error, no escape codes anywhere")
  func talk() throws {
    let scratch = try Scratch()
    let job = ["--int8", Reference.model, "-o", "out"] + Samples.quick
    let quiet = try Program.run(job + ["--quiet"], in: scratch.path)
    #expect(quiet.status == 0 && quiet.errors.isEmpty)
    #expect(quiet.output.hasPrefix("stage "))
    #expect(!quiet.output.contains("artifact  "))
    let loud = try Program.run(job, in: scratch.path, environment: ["TERM": "xterm-256color"])
    #expect(loud.errors.contains("[0/1] baseline\n  pack: ") && loud.errors.contains("[1/1] int8\n"))
    #expect(loud.errors.contains("evaluate: perplexity"))
    #expect(loud.output.contains("artifact  out/1-int8/reference.gguf.zst"))
    #expect(!(loud.output + loud.errors + quiet.output).contains("\u{1B}"))
  }

  @Test("an error behind --quiet is one line, however late it comes")
  func lateError() throws {
    let scratch = try Scratch()
    try scratch.copyFolder(to: "model")
    let outcome = try Program.shell(
      "'\(Program.path)' --int8 model -o out --quiet --no-latency --eval-tokens 512 > /dev/full",
      in: scratch.path)
    #expect(outcome.status == 74)
    #expect(outcome.errors == "compress: cannot write to standard output: No space left on device\n")
  }

  @Test("a reader that has enough ends nothing but the talk")
  func head() throws {
    let scratch = try Scratch()
    let job = (["'\(Program.path)'", "--int8", "'\(Reference.model)'", "-o", "out"] + Samples.quick).joined(
      separator: " ")
    let outcome = try Program.shell("\(job) 2>&1 | head -n 1", in: scratch.path)
    #expect(outcome.output.hasPrefix("  note: calibrated on calibration.txt"))
    #expect(scratch.contents.contains("out/report.json"))
    #expect(!scratch.contents.contains { $0.hasPrefix(".") })
  }
}
