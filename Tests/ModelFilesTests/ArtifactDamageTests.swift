import Foundation
import ModelFiles
import TensorCore
import Testing

struct ArtifactDamageTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  /// Where each part's bytes lie in an artifact.
  private func parts(of manifest: ArtifactManifest, size: Int, frames: Int) -> [(
    name: String, range: Range<Int>
  )] {
    var parts = [("header", 0..<manifest.header.packedCount)]
    for tensor in manifest.tensors {
      parts.append(
        (
          "tensor '\(tensor.name)'",
          tensor.part.packedOffset..<tensor.part.packedOffset + tensor.part.packedCount
        ))
    }
    let table = size - 17 - 12 * frames
    parts.append(("manifest", (parts.last?.1.upperBound ?? 0)..<table))
    parts.append(("seek table", table..<size))
    return parts
  }

  private func failure(_ bytes: [UInt8]) -> String? {
    do {
      let (_, damages) = try ArtifactFile.examine(ByteRegion(bytes), path: "model.zst")
      return damages.first.map { "\($0.part): \($0.message)" }
    } catch { return (error as? ModelFileError)?.message ?? "another error: \(error)" }
  }

  @Test(arguments: ["gguf", "safetensors"])
  func everyFlippedBitIsFoundAndNamed(container: String) throws {
    let path = folder.file("model.zst")
    try ArtifactSamples.pack(try ArtifactSamples.layout(container), to: path)
    let intact = try ArtifactSamples.bytes(path)
    #expect(failure(intact) == nil)
    let manifest = try #require(try ArtifactFile.read(MappedFile(path: path)).manifest)
    var flips = 0
    for (name, range) in parts(of: manifest, size: intact.count, frames: 5) {
      for place in range {
        for bit in 0..<8 {
          var bytes = intact
          bytes[place] ^= 1 << bit
          let message = failure(bytes)
          flips += 1
          if message?.hasPrefix(name + ":") != true {
            Issue.record("bit \(bit) of byte \(place), in \(name): \(message ?? "not found")")
          }
        }
      }
    }
    #expect(flips == intact.count * 8)
  }

  @Test func everyTruncationIsFound() throws {
    let path = folder.file("model.zst")
    try ArtifactSamples.pack(try ArtifactSamples.layout("gguf"), to: path)
    let intact = try ArtifactSamples.bytes(path)
    for count in 0..<intact.count where failure(Array(intact[..<count])) == nil {
      Issue.record("the first \(count) bytes pass for whole")
    }
    #expect(failure(intact + [0]) != nil)
    #expect(failure(intact + intact) != nil)
  }

  @Test func damageInOneFrameOfMany() throws {
    let path = folder.file("model.zst")
    try ArtifactSamples.pack(try ArtifactSamples.layout("gguf", large: true), to: path)
    let manifest = try #require(try ArtifactFile.read(MappedFile(path: path)).manifest)
    let tensor = manifest.tensors[2]
    #expect(tensor.part.packedCount > 2 << 20)
    var bytes = try ArtifactSamples.bytes(path)
    bytes[tensor.part.packedOffset + (5 << 18)] ^= 4
    bytes[3] ^= 4
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    #expect(try ArtifactFile.damages(of: path).map(\.part) == ["header", "tensor 'wörter.weight'"])
    let error = #expect(throws: ModelFileError.self) { try ArtifactFile.verify(path) }
    #expect(error?.reason == .corrupt && error?.message.hasPrefix("header:") == true)
    #expect(error?.message.hasSuffix("also damaged: tensor 'wörter.weight'") == true)
  }

  @Test func readingADamagedTensorNamesIt() throws {
    let path = folder.file("model.zst")
    try ArtifactSamples.pack(try ArtifactSamples.layout("safetensors", large: true), to: path)
    let manifest = try #require(try ArtifactFile.read(MappedFile(path: path)).manifest)
    let part = try #require(manifest.tensors.first { $0.name == "wörter.weight" }).part
    var bytes = try ArtifactSamples.bytes(path)
    bytes[part.packedOffset + part.packedCount - 2] ^= 1  // inside the last frame's checksum
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    let source = try ArtifactFile.read(MappedFile(path: path))
    for tensor in source.tensors where tensor.name != "wörter.weight" { _ = try tensor.bytes.load() }
    let damaged = try #require(source.tensors.first { $0.name == "wörter.weight" })
    let error = #expect(throws: ModelFileError.self) { try damaged.bytes.load() }
    #expect(error?.reason == .corrupt && error?.message.contains("tensor 'wörter.weight'") == true)
    #expect(throws: ModelFileError.self) { try ArtifactFile.unpack(path, to: folder.file("out")) }
    #expect(folder.contents == ["model.zst"])
  }
}
