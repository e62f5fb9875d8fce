import Foundation
import Testing

/// Weights that no compression should touch without being told to.
@Suite("Questionable weights")
struct WeightTests {
  private static let tensor = "model.layers.1.mlp.up_proj.weight"

  /// The reference folder with one bf16 weight of the tensor replaced.
  private func folder(weight: UInt16) throws -> Scratch {
    let scratch = try Scratch()
    try scratch.copyFolder(to: "model")
    var bytes = try scratch.read("model/model.safetensors")
    let length = Int(bytes[0]) | Int(bytes[1]) << 8 | Int(bytes[2]) << 16
    let header = try JSONSerialization.jsonObject(with: Data(bytes[8..<8 + length])) as? [String: Any]
    let entry = header?[WeightTests.tensor] as? [String: Any]
    let offsets = try #require(entry?["data_offsets"] as? [Int])
    let place = 8 + length + offsets[0] + 6
    bytes.replaceSubrange(place..<place + 2, with: Bytes.u16(weight))
    try scratch.write(bytes, to: "model/model.safetensors")
    return scratch
  }

  @Test(
    "NaN and infinities are refused with their place, unless they are allowed",
    arguments: [UInt16(0x7FC0), 0x7F80, 0xFF80])
  func nonfinite(weight: UInt16) throws {
    let scratch = try folder(weight: weight)
    let words = ["model", WeightTests.tensor, "row 0, column 3", "--allow-nonfinite"]
    try Refusal.check(["--int4", "model", "-o", "out"], in: scratch, words)
    try Refusal.check(["convert", "model", "-o", "m.gguf"], in: scratch, words)
    let outcome = try Program.run(
      ["--int8", "model", "-o", "out", "--allow-nonfinite", "--quiet"] + Samples.quick, in: scratch.path)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.errors.isEmpty)
    #expect(scratch.contents.contains("out/1-int8/report.md"))
    let report = String(decoding: try scratch.read("out/1-int8/report.md"), as: UTF8.self)
    #expect(report.contains("not finite"), "the report says why there are no figures: \(report)")
    let converted = try Program.run(
      ["convert", "model", "-o", "m.gguf", "--allow-nonfinite"], in: scratch.path)
    #expect(converted.status == 0, "\(converted.errors)")
    try Refusal.check(["eval", "model"], in: scratch, ["not finite"])
    // Of a file that is packed as it is, weights are looked at meanwhile.
    let pack = ["convert", "m.gguf", "-o", "m.gguf.zst", "--pack"]
    try Refusal.check(pack, in: scratch, ["m.gguf"] + words.dropFirst())
    let packed = try Program.run(pack + ["--allow-nonfinite", "-q"], in: scratch.path)
    #expect(packed.status == 0 && packed.errors.isEmpty, "\(packed.errors)")
  }

  @Test("quantized input is refused, unless quantizing again is asked for")
  func requantize() throws {
    let scratch = try Scratch()
    try scratch.copy(try Samples.int8Artifact, to: "m.gguf.zst")
    let words = ["m.gguf.zst", "already quantized (q8_0)", "--allow-requantize"]
    try Refusal.check(["--int4", "m.gguf.zst", "-o", "out"], in: scratch, words)
    try Refusal.check(["convert", "m.gguf.zst", "-o", "x.gguf", "--to", "int4"], in: scratch, words)
    let outcome = try Program.run(
      ["--int4", "m.gguf.zst", "-o", "out", "--allow-requantize", "-q"] + Samples.quick, in: scratch.path)
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(outcome.output.contains("1 int4"))
    let name = try #require(scratch.contents.first { $0.hasPrefix("out/1-int4/") && $0.hasSuffix(".zst") })
    #expect(try Program.run(["verify", name], in: scratch.path).status == 0)
  }
}
