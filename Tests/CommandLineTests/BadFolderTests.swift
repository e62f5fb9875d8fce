import Foundation
import Testing

/// Models of several files that do not fit together.
@Suite("Bad folders")
struct BadFolderTests {
  /// The reference folder changed by `change`, refused; the message.
  private func refused(_ words: [String], arguments: [String] = [], _ change: (Scratch) throws -> Void) throws
  {
    let scratch = try Scratch()
    try scratch.copyFolder(to: "model")
    try change(scratch)
    try Refusal.check(["--int4", "model", "-o", "out"] + arguments, in: scratch, words)
  }

  // MARK: Shards

  private static func index(_ map: [String: String]) -> [UInt8] {
    let pairs = map.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \"\($0.value)\"" }
    return Array("{\"metadata\": {}, \"weight_map\": {\(pairs.joined(separator: ", "))}}".utf8)
  }

  private func sharded(_ map: [String: String], _ words: [String]) throws {
    let scratch = try Scratch()
    try scratch.write(
      safetensors("{\(entry("a", 0, 32))}", data: 32), to: "m/model-00001-of-00002.safetensors")
    try scratch.write(
      safetensors("{\(entry("b", 0, 32))}", data: 32), to: "m/model-00002-of-00002.safetensors")
    try scratch.write(BadFolderTests.index(map), to: "m/model.safetensors.index.json")
    try Refusal.check(["--int4", "m", "-o", "out"], in: scratch, words)
  }

  @Test("an index that names a missing shard, a missing tensor, a place outside, or leaves a tensor out")
  func indexes() throws {
    let (one, two) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    try sharded(["a": one, "b": "model-00003-of-00003.safetensors"], ["model-00003-of-00003.safetensors"])
    try sharded(["a": one, "b": two, "c": two], ["'c'", two])
    try sharded(["a": one, "b": one], ["'b'"])
    try sharded(["a": one, "b": "../../../etc/passwd"], ["../../../etc/passwd"])
    try sharded([:], ["index.json"])
  }

  @Test("a shard that is not there, with no index to name it")
  func missingShard() throws {
    let scratch = try Scratch()
    try scratch.write(
      safetensors("{\(entry("a", 0, 32))}", data: 32), to: "m/model-00001-of-00002.safetensors")
    try Refusal.check(
      ["--int4", "m", "-o", "out"], in: scratch, ["model-00002-of-00002.safetensors", "missing"])
    try Refusal.check(
      ["--int4", "m/model-00001-of-00002.safetensors", "-o", "out"], in: scratch,
      ["model-00002-of-00002.safetensors", "missing"])
  }

  @Test("a tensor in two shards")
  func duplicates() throws {
    let scratch = try Scratch()
    for number in 1...2 {
      try scratch.write(
        safetensors("{\(entry("a", 0, 32))}", data: 32), to: "m/model-0000\(number)-of-00002.safetensors")
    }
    try Refusal.check(["--int4", "m", "-o", "out"], in: scratch, ["'a'"])
  }

  // MARK: Configuration

  @Test(
    "a configuration that contradicts the tensors, or itself, names both numbers",
    arguments: [
      ("\"hidden_size\": 256", "\"hidden_size\": 128", "128"),
      ("\"intermediate_size\": 512", "\"intermediate_size\": 500", "500"),
      ("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4", "layers.3"),
      ("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2", "layers.2"),
      ("\"num_key_value_heads\": 4", "\"num_key_value_heads\": 8", "k_proj"),
      ("\"num_key_value_heads\": 4", "\"num_key_value_heads\": 3", "3"),
      ("\"num_attention_heads\": 8", "\"num_attention_heads\": 0", "num_attention_heads"),
      ("\"vocab_size\": 512", "\"vocab_size\": 500", "500"),
      ("\"vocab_size\": 512", "\"vocab_size\": \"many\"", "vocab_size"),
      ("\"hidden_size\": 256", "\"hidden_size\": -256", "hidden_size"),
      ("\"hidden_size\": 256", "\"hidden_size\": 1e30", "hidden_size"),
      ("\"hidden_size\": 256", "\"hidden_size\": 9223372036854775807", "hidden_size"),
      ("\"hidden_size\": 256,", "", "hidden_size"),
      ("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2000000000", "num_hidden_layers"),
      (
        "\"max_position_embeddings\": 256", "\"max_position_embeddings\": 9000000000000000000", "max_position"
      ),
      ("\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": \"small\"", "rms_norm_eps"),
      ("\"head_dim\": 32", "\"head_dim\": 31", "head_dim"),
    ])
  func contradictions(old: String, new: String, word: String) throws {
    try refused(["model", word]) { try $0.edit("model/config.json", old, new) }
  }

  @Test("a configuration that is no JSON object")
  func brokenConfiguration() throws {
    for text in [
      "", "{", "{\"model_type\": \"llama\",}", "[1]", "\u{FEFF}x", String(repeating: "[", count: 1 << 20),
    ] {
      try refused(["config.json"]) { try $0.write(Array(text.utf8), to: "model/config.json") }
    }
  }

  // MARK: Tokenizer

  @Test("a tokenizer that is broken, of the wrong size, or none at all")
  func tokenizers() throws {
    let small = "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": []}}"
    func refused(_ text: String, _ words: String...) throws {
      try self.refused(words) {
        try $0.write(Array(text.utf8), to: "model/tokenizer.json")
        try FileManager.default.removeItem(atPath: $0.path + "/model/tokenizer.model")
      }
    }
    try refused(small, "tokenizer", "2 tokens", "512 rows")
    try refused("{", "tokenizer.json")
    try refused("{}", "tokenizer.json")
    try refused(
      "{\"model\": {\"type\": \"Telepathy\", \"vocab\": {\"a\": 0}}}", "tokenizer.json", "Telepathy")
    // Damage is not passed over because there is another tokenizer.
    try self.refused(["tokenizer.json"]) { try $0.write(Array("{".utf8), to: "model/tokenizer.json") }
  }

  @Test("--tokenizer that is no tokenizer")
  func namedTokenizer() throws {
    try refused(["t.txt", "no tokenizer"], arguments: ["--tokenizer", "t.txt"]) {
      try $0.write(Array("hello\n".utf8), to: "t.txt")
    }
    try refused(
      ["model.safetensors", "no tokenizer"], arguments: ["--tokenizer", "model/model.safetensors"]
    ) { _ in }
    let scratch = try Scratch()
    try scratch.copyFolder(to: "model")
    try Refusal.check(
      ["--int4", "model", "--tokenizer", "nowhere.json"], in: scratch, status: 74,
      ["nowhere.json", "No such file"])
  }

  // MARK: Folders

  @Test("a folder without a model, an empty one, and one with two")
  func folders() throws {
    let scratch = try Scratch()
    try scratch.write(Array("hi".utf8), to: "texts/a.txt")
    try Refusal.check(["--int4", "texts", "-o", "out"], in: scratch, ["texts", "holds no"])
    try FileManager.default.createDirectory(
      atPath: scratch.path + "/empty", withIntermediateDirectories: true)
    try Refusal.check(["--int4", "empty", "-o", "out"], in: scratch, ["empty", "holds no"])
    try scratch.write(GGUF().bytes, to: "two/a.gguf")
    try scratch.write(GGUF().bytes, to: "two/b.gguf")
    try Refusal.check(["--int4", "two", "-o", "out"], in: scratch, ["two", "a.gguf", "b.gguf"])
  }

  // MARK: Evaluation text

  @Test("evaluation texts that are missing, empty, too short, binary, or a folder")
  func texts() throws {
    let scratch = try Scratch()
    try scratch.copyFolder(to: "model")
    try scratch.write([], to: "empty.txt")
    try scratch.write(Array("Hi.".utf8), to: "short.txt")
    try scratch.write([0x89, 0x50, 0, 1, 2, 3], to: "binary.txt")
    try scratch.write(Array("{\"text\": \"a\"}\n{\"text\": 7}\n".utf8), to: "broken.jsonl")
    func check(_ name: String, status: Int32 = 65, _ word: String) throws {
      for arguments in [["--int4", "model", "-o", "out"], ["eval", "model"]] {
        try Refusal.check(arguments + ["--eval", name], in: scratch, status: status, [name, word])
      }
    }
    try check("empty.txt", "empty")
    try check("short.txt", "longer text")
    try check("binary.txt", "not a text")
    try check("broken.jsonl", "line 2")
    try check("nowhere.txt", status: 74, "No such file")
    try check("model", status: 74, "Is a directory")
  }
}
