import Foundation
import Testing

/// Bad input gets one clear line, the right exit code, no output, and stays as it was.
@Suite("Bad input")
struct BadInputTests {
  /// Runs `compress --int4 NAME` and checks what every refusal must have in common.
  private func refused(
    _ name: String, in scratch: Scratch, status: Int32 = 65, _ words: [String], arguments: [String] = []
  ) throws {
    let before = scratch.contents
    let original = try? scratch.read(name)
    let outcome = try Program.run(["--int4", name] + arguments, in: scratch.path)
    #expect(outcome.status == status, "\(name): \(outcome.errors)")
    let lines = outcome.errors.split(separator: "\n").filter { $0.hasPrefix("compress: ") }
    #expect(lines.count == 1, "\(outcome.errors)")
    for word in words { #expect(outcome.errors.contains(word), "'\(word)' in: \(outcome.errors)") }
    #expect(scratch.contents == before, "output was left behind")
    #expect((try? scratch.read(name)) == original)
  }

  @Test("files that are no models")
  func notModels() throws {
    let scratch = try Scratch()
    try scratch.write([], to: "empty.bin")
    try refused("empty.bin", in: scratch, ["empty.bin", "empty"])
    try scratch.write(Array("Dear reader,\nthis is a letter.\n".utf8), to: "letter.bin")
    try refused("letter.bin", in: scratch, ["letter.bin", "text"])
    try scratch.write(
      [0xFF, 0xD8, 0xFF, 0xE0, 0, 16, 0x4A, 0x46, 0x49, 0x46] + [UInt8](repeating: 7, count: 500),
      to: "photo.bin")
    try refused("photo.bin", in: scratch, ["photo.bin", "JPEG"])
    // ModelProto: ir_version = 8, producer_name = "pytorch".
    try scratch.write(
      [0x08, 0x08, 0x12, 0x07] + Array("pytorch".utf8) + [UInt8](repeating: 0x3A, count: 300), to: "net.bin")
    try refused("net.bin", in: scratch, ["net.bin", "ONNX"])
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 12345\n"
    try scratch.write(Array(pointer.utf8), to: "pointer.bin")
    try refused("pointer.bin", in: scratch, ["pointer.bin", "LFS"])
  }

  @Test("files that cannot be opened")
  func unreadable() throws {
    let scratch = try Scratch()
    try refused("nowhere.bin", in: scratch, status: 74, ["nowhere.bin", "No such file"])
    if getuid() != 0 {
      try scratch.write([1, 2, 3], to: "secret.bin")
      chmod(scratch.path + "/secret.bin", 0)
      try refused("secret.bin", in: scratch, status: 74, ["secret.bin", "Permission denied"])
    }
  }

  @Test("a pickle that calls something else is refused by name")
  func foreignPickle() throws {
    let scratch = try Scratch()
    // Protocol 2; GLOBAL os system; ("true",) REDUCE: in the legacy container's place.
    let magic: [UInt8] = [
      0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E,
    ]
    let version: [UInt8] = [0x80, 0x02, 0x4D, 0xE9, 0x03, 0x2E]
    let system: [UInt8] = [0x80, 0x02, 0x7D, 0x2E]
    let call: [UInt8] =
      [0x80, 0x02] + Array("cos\nsystem\n".utf8) + [0x58, 4, 0, 0, 0] + Array("true".utf8) + [
        0x85, 0x52, 0x2E,
      ]
    try scratch.write(magic + version + system + call, to: "evil.bin")
    try refused("evil.bin", in: scratch, ["evil.bin", "os.system"])
  }

  @Test(
    "a file cut short anywhere is refused",
    arguments: [1, 2, 7, 16, 63, 64, 100, 1000, 4096, 20000, 1_000_000])
  func truncated(count: Int) throws {
    let scratch = try Scratch()
    let model = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Reference.model)))
    try scratch.copy(Reference.folder + "/config.json", to: "config.json")
    try scratch.write(Array(model.prefix(count)), to: "model.bin")
    try refused("model.bin", in: scratch, ["model.bin"])
  }

  @Test("outputs that would touch the input are refused")
  func unsafeOutputs() throws {
    let scratch = try Scratch()
    try scratch.copy(Reference.folder, to: "model")
    try refused("model", in: scratch, status: 64, ["would replace the input"], arguments: ["-o", "model"])
    try refused(
      "model", in: scratch, status: 64, ["would lie inside the input"], arguments: ["-o", "model/out"])
    try refused(
      "model/model.bin", in: scratch, status: 64, ["choose another place"], arguments: ["-o", "model"])
    try refused("model/model.bin", in: scratch, status: 64, ["choose another place"], arguments: ["-o", "."])
    try refused(
      "model/model.bin", in: scratch, status: 64, ["choose another place"],
      arguments: ["-o", "model/config.json"])
  }

  @Test("an output that holds other things is not replaced")
  func foreignFolder() throws {
    let scratch = try Scratch()
    try scratch.write([1], to: "precious/thesis.txt")
    try scratch.copy(Reference.folder, to: "model")
    try refused("model", in: scratch, status: 64, ["holds other things"], arguments: ["-o", "precious"])
  }

  @Test("text to learn from that is none")
  func trainingText() throws {
    let scratch = try Scratch()
    try scratch.copy(Reference.folder, to: "model")
    let refusals: [(name: String, texts: [(String, String)], words: [String])] = [
      ("empty.txt", [("empty.txt", "")], ["empty.txt", "the text is empty"]),
      ("blank.txt", [("blank.txt", " \n\t\n\n")], ["blank.txt", "there is no text in it"]),
      ("blank.jsonl", [("blank.jsonl", "{\"text\": \" \"}\n{\"text\": \"\"}\n")], ["there is no text in it"]),
      (
        "none", [("none/read.me", "This is no text.")],
        ["none", "the folder has no text: .txt, .jsonl are read"]
      ),
      (
        "blanks", [("blanks/a.txt", ""), ("blanks/b.txt", "\n \n")],
        ["blanks", "the folder's texts are empty"]
      ),
      ("short.txt", [("short.txt", "This is short.\n")], ["short.txt", "too few to learn from", "--train"]),
    ]
    for refusal in refusals {
      for (file, text) in refusal.texts { try scratch.write(Array(text.utf8), to: file) }
      try refused(
        "model", in: scratch, refusal.words, arguments: ["--recover", "5", "--train", refusal.name])
    }
    try refused(
      "model", in: scratch, status: 74, ["nowhere", "No such file"],
      arguments: ["--recover", "5", "--train", "nowhere"])
  }

  @Test("effort that gains nothing is refused")
  func effort() throws {
    let scratch = try Scratch()
    for flags in [["--int8"], ["--target-bpw", "4"]] {
      let outcome = try Program.run([Reference.model, "--effort", "max"] + flags, in: scratch.path)
      #expect(outcome.status == 64)
      #expect(outcome.errors.contains("--effort max belongs to"), "\(outcome.errors)")
    }
    #expect(scratch.contents.isEmpty)
  }

  @Test("a recipe with an unknown key is refused with its line")
  func recipe() throws {
    let scratch = try Scratch()
    try scratch.write(Array("stages:\n  - quantize: {format: int4}\ncolour: blue\n".utf8), to: "r.yaml")
    let outcome = try Program.run(["--recipe", "r.yaml", Reference.model], in: scratch.path)
    #expect(outcome.status == 65)
    #expect(
      outcome.errors
        == "compress: r.yaml:3: unknown key 'colour' in the recipe; known are version, format, layout, for, stages, calibration, training, evaluation, budget, seed, level\n"
    )
  }
}
