import Foundation
import Testing

/// A file cut at every boundary of its structure, one byte before and one after.
@Suite("Cut files")
struct TruncationTests {
  /// Cuts `bytes` at `places`, and everywhere in the first bytes.
  private func check(
    _ bytes: [UInt8], _ places: [Int], file: String, configuration: Bool = false
  ) throws {
    let cuts = Set(
      (places.flatMap { [$0 - 1, $0, $0 + 1] } + [0, 1, 4, 7, 8, 9]).filter { 0..<bytes.count ~= $0 })
    for cut in cuts.sorted() {
      let scratch = try Scratch()
      try scratch.write(Array(bytes.prefix(cut)), to: file)
      if configuration { try scratch.copy(Reference.folder + "/config.json", to: "config.json") }
      try Refusal.check(["--int4", file, "-o", "out"], in: scratch, [file], case: "cut at \(cut)")
    }
  }

  @Test("safetensors")
  func safetensorsFile() throws {
    let bytes = try Samples.bytes("folder/model.safetensors")
    let header = Int(bytes.prefix(8).enumerated().reduce(UInt64(0)) { $0 | UInt64($1.1) << (8 * $1.0) })
    try check(
      bytes, [8 + header / 2, 8 + header, bytes.count / 2, bytes.count], file: "model.safetensors",
      configuration: true)
  }

  @Test("GGUF")
  func ggufFile() throws {
    let bytes = try Samples.bytes("model.gguf")
    let names = ["general.architecture", "tokenizer.ggml.tokens", "token_embd.weight", "blk.0.attn_q.weight"]
      .compactMap {
        Data(bytes).range(of: Data($0.utf8))?.lowerBound
      }
    #expect(names.count == 4)
    try check(
      bytes, [16, 24] + names + names.map { $0 - 8 } + [bytes.count / 2, bytes.count], file: "model.gguf")
  }

  @Test("PyTorch zip: in local headers, the pickle, storages, the directory and its end")
  func torchFile() throws {
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Reference.model)))
    let data = Data(bytes)
    let directory = try #require(data.range(of: Data([0x50, 0x4B, 1, 2]))?.lowerBound)
    let end = try #require(data.range(of: Data([0x50, 0x4B, 5, 6]), options: .backwards)?.lowerBound)
    try check(
      bytes, [30, 64, bytes.count / 2, directory, directory + 46, end, end + 12, bytes.count],
      file: "model.bin",
      configuration: true)
  }

  @Test("PyTorch legacy: after every pickle, in the storage")
  func legacyFile() throws {
    let bytes = legacyTorch(Pickle.dictionary([("a", Pickle.tensor())]))
    let stops = bytes.indices.filter { bytes[$0] == 0x2E }.map { $0 + 1 }
    try check(bytes, stops + [bytes.count - 40, bytes.count - 32, bytes.count], file: "model.bin")
  }

  @Test("llama2.c, versions 1 and 2")
  func llama2cFile() throws {
    for (version, rest) in [(UInt32(1), [UInt8(1)]), (2, [1] + Bytes.u32(32))] {
      let numbers: [UInt32] = [32, 64, 1, 4, 4, 64, 16]
      let head = Array("24ka".utf8) + Bytes.u32(version) + numbers.flatMap(Bytes.u32) + rest
      // Longer than any layout of these sizes: what is cut is shorter.
      let bytes = head + Bytes.zeros(256 - head.count) + Bytes.zeros(2048)
      try check(bytes, [36, head.count, 255, 256, 512, bytes.count - 1], file: "model.bin")
    }
  }

  @Test("artifact: in a frame, at frames' ends, in the manifest and the seek table")
  func artifactFile() throws {
    let bytes = try Samples.bytes("model.gguf.zst")
    let data = Data(bytes)
    let second = try #require(data.range(of: Data([0x28, 0xB5, 0x2F, 0xFD]), in: 4..<data.count)?.lowerBound)
    let table = try #require(data.range(of: Data([0x5E, 0x2A, 0x4D, 0x18]), options: .backwards)?.lowerBound)
    let places = [
      18, second, bytes.count / 2, table, table + 8, bytes.count - 9, bytes.count - 4, bytes.count,
    ]
    try check(bytes, places, file: "model.gguf.zst")
    for cut in places where cut < bytes.count {
      let scratch = try Scratch()
      try scratch.write(Array(bytes.prefix(cut)), to: "cut.gguf.zst")
      try Refusal.check(["verify", "cut.gguf.zst"], in: scratch, ["cut.gguf.zst"])
      try Refusal.check(["unpack", "cut.gguf.zst"], in: scratch, ["cut.gguf.zst"])
    }
  }
}
