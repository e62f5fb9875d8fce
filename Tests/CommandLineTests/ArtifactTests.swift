import Foundation
import Testing

/// `verify` and `unpack` on artifacts that are whole, damaged, and none.
@Suite("Artifact commands")
struct ArtifactTests {
  @Test("verify finds a flipped byte and names the tensor; unpack refuses it and leaves nothing")
  func damage() throws {
    let good = try Samples.bytes("int8.gguf.zst")
    var named = 0
    for (index, part) in [0.3, 0.5, 0.7, 0.9].enumerated() {
      let scratch = try Scratch()
      var bytes = good
      bytes[Int(Double(bytes.count) * part)] ^= UInt8(1 << index)
      try scratch.write(bytes, to: "bad.gguf.zst")
      let message = try Refusal.check(["verify", "bad.gguf.zst"], in: scratch, ["bad.gguf.zst", "tensor '"])
      if message.contains("blk.") || message.contains("token_embd") { named += 1 }
      try Refusal.check(["unpack", "bad.gguf.zst"], in: scratch, ["bad.gguf.zst"])
      try Refusal.check(["unpack", "bad.gguf.zst", "-o", "new.gguf"], in: scratch, ["bad.gguf.zst"])
    }
    #expect(named == 4)
  }

  @Test("generate refuses an artifact that is damaged anywhere, with no text")
  func damageBeforeText() throws {
    let good = try Samples.bytes("int8.gguf.zst")
    for (index, part) in [0.3, 0.5, 0.7, 0.9].enumerated() {
      let scratch = try Scratch()
      var bytes = good
      bytes[Int(Double(bytes.count) * part)] ^= UInt8(1 << index)
      try scratch.write(bytes, to: "bad.gguf.zst")
      try Refusal.check(
        ["generate", "bad.gguf.zst", "-n", "4"], in: scratch, ["bad.gguf.zst", "tensor '"])
    }
  }

  @Test("verify says so when all is well, of each artifact, and stops at the first that is not")
  func verify() throws {
    let scratch = try Scratch()
    try scratch.copy(try Samples.artifact, to: "a.gguf.zst")
    try scratch.copy(try Samples.int8Artifact, to: "b.gguf.zst")
    let outcome = try Program.run(["verify", "a.gguf.zst", "b.gguf.zst"], in: scratch.path)
    #expect(outcome.status == 0 && outcome.errors.isEmpty)
    #expect(
      outcome.output.split(separator: "\n").map { $0.prefix(16) } == ["a.gguf.zst: good", "b.gguf.zst: good"])
    let quiet = try Program.run(["verify", "-q", "a.gguf.zst"], in: scratch.path)
    #expect(quiet.status == 0 && quiet.output.isEmpty && quiet.errors.isEmpty)
    try Refusal.check(["verify", Reference.model], in: scratch, ["no artifact"])
    try Refusal.check(["verify", "none.zst"], in: scratch, status: 74, ["none.zst", "No such file"])
  }

  @Test("unpack gives what zstd -d gives, and takes the artifact's name without .zst")
  func unpack() throws {
    let scratch = try Scratch()
    try scratch.copy(try Samples.int8Artifact, to: "m.gguf.zst")
    #expect(try Program.run(["unpack", "m.gguf.zst"], in: scratch.path).status == 0)
    #expect(scratch.contents == ["m.gguf", "m.gguf.zst"])
    let bytes = try scratch.read("m.gguf")
    #expect(bytes.starts(with: Array("GGUF".utf8)))
    try Refusal.check(["unpack", "m.gguf.zst"], in: scratch, status: 64, ["m.gguf", "--force"])
    try scratch.write([1, 2, 3], to: "m.gguf")
    #expect(try Program.run(["unpack", "m.gguf.zst", "--force"], in: scratch.path).status == 0)
    #expect(try scratch.read("m.gguf") == bytes)
    try scratch.copy(try Samples.artifact, to: "artifact")
    try Refusal.check(["unpack", "artifact"], in: scratch, status: 64, ["-o"])
  }

  @Test("a GGUF file packed as it is comes back byte for byte, whatever it says about itself")
  func sameFile() throws {
    let scratch = try Scratch()
    var plain = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Samples.gguf)))
    // An entry that our own header would not have.
    let key = Array("general.file_type".utf8)
    let place = try #require(plain.indices.first { plain[$0...].starts(with: key) })
    plain[place + key.count - 1] = UInt8(ascii: "x")
    try scratch.write(plain, to: "plain.gguf")
    for arguments in [
      ["convert", "plain.gguf", "-o", "m.zst", "--pack"], ["unpack", "m.zst", "-o", "back.gguf"],
      ["verify", "m.zst"],
    ] {
      #expect(try Program.run(arguments, in: scratch.path).status == 0)
    }
    #expect(try scratch.read("back.gguf") == plain)
  }

  @Test(
    "zstd itself unpacks an artifact to the same bytes",
    .enabled(if: Program.find("zstd") != nil, "no zstd program"))
  func zstd() throws {
    let scratch = try Scratch()
    for sample in [try Samples.artifact, try Samples.int8Artifact] {
      #expect(
        try Program.run(["unpack", sample, "-o", "ours.gguf", "--force"], in: scratch.path).status == 0)
      let outcome = try Program.run(
        ["-d", "-f", sample, "-o", "theirs.gguf"], in: scratch.path, program: Program.find("zstd") ?? "zstd")
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(try scratch.read("ours.gguf") == scratch.read("theirs.gguf"))
    }
  }
}
