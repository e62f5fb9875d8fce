import Foundation
import ModelFiles
import TensorCore
import TestSupport
import Testing

/// zstd files that other programs made.
struct ArtifactForeignTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  @Test(arguments: [
    ("checked.safetensors.zst", "foreign.safetensors"), ("unsized.gguf.zst", "foreign.gguf"),
    ("plain.gguf.zst", "foreign.gguf"), ("streamed.safetensors.zst", "foreign.safetensors"),
  ])
  func readsAndUnpacks(packed: String, plain: String) throws {
    let (packed, plain) = (fixture("artifact/\(packed)"), fixture("artifact/\(plain)"))
    let source = try ArtifactFile.read(MappedFile(path: packed))
    let file = try MappedFile(path: plain)
    let expected =
      try plain.hasSuffix("gguf") ? GGUFFile.read(file) : SafetensorsFile.read(file)
    #expect(source.container == expected.container && source.manifest == nil)
    #expect(source.metadata.map(\.key) == expected.metadata.map(\.key))
    #expect(source.textMetadata == expected.textMetadata)
    #expect(source.tensors.map(\.name) == expected.tensors.map(\.name) && source.tensors.count == 3)
    for (found, tensor) in zip(source.tensors, expected.tensors) {
      #expect(found.shape == tensor.shape && found.format == tensor.format)
      #expect(try ArtifactSamples.contents(found) == ArtifactSamples.contents(tensor))
    }
    let target = folder.file("out")
    try ArtifactFile.unpack(packed, to: target)
    #expect(try ArtifactSamples.bytes(target) == ArtifactSamples.bytes(plain))
    let error = #expect(throws: ModelFileError.self) { try ArtifactFile.verify(packed) }
    #expect(error?.reason == .corrupt)
  }

  /// Every truncation of a plain zstd file is an error or, between two frames, a shorter file that no reader takes.
  @Test(arguments: ["plain.gguf.zst", "streamed.safetensors.zst", "unsized.gguf.zst"])
  func truncation(name: String) throws {
    let bytes = try ArtifactSamples.bytes(fixture("artifact/\(name)"))
    let path = folder.file("cut.zst")
    for count in stride(from: 1, to: bytes.count, by: 7) {
      try Data(bytes[..<count]).write(to: URL(fileURLWithPath: path))
      #expect(throws: ModelFileError.self, "\(count) bytes") { try ArtifactFile.read(MappedFile(path: path)) }
    }
  }

  @Test func aHeaderOfSeveralFrames() throws {
    let path = folder.file("model.zst")
    let description = String(repeating: "0123456789abcdef", count: 200_000)
    let layout = try GGUFWriter.layout(
      metadata: [
        GGUFEntry("general.architecture", .string("llama")),
        GGUFEntry("general.description", .string(description)),
      ], tensors: ArtifactSamples.tensors())
    try ArtifactSamples.pack(layout, to: path)
    try ArtifactFile.verify(path)
    // Without its manifest nothing says how long the header is.
    var file = SeekableBytes(try ArtifactSamples.bytes(path))
    #expect(file.frames.count == 8)
    file.frames.removeLast()
    try Data(file.bytes).write(to: URL(fileURLWithPath: path))
    let source = try ArtifactFile.read(MappedFile(path: path))
    #expect(source.manifest == nil && source.tensors.count == 4)
    #expect(source.metadata["general.description"] == .string(description))
  }

  @Test func somethingElseInside() throws {
    guard let packed = try zstd("-c", #filePath), !packed.isEmpty else { return }
    let path = folder.file("text.zst")
    try Data(packed).write(to: URL(fileURLWithPath: path))
    let error = #expect(throws: ModelFileError.self) { try ArtifactFile.read(MappedFile(path: path)) }
    #expect(error?.reason == .notAModel && error?.advice?.contains("zstd -d") == true)
  }

  @Test func aFileOf128KiBFillsTheBufferExactly() throws {
    guard let zeros = try zstd("-c", "/dev/null"), !zeros.isEmpty else { return }
    let source = folder.file("zeros")
    for size in [0, 1, 131_071, 131_072, 131_073, 262_144] {
      try Data(count: size).write(to: URL(fileURLWithPath: source))
      let packed = try #require(try zstd("-c", source))
      #expect(try ArtifactFile.decodeStream(ByteRegion(packed), path: "zeros", limit: size) { _ in } == size)
      guard size > 0 else { continue }
      #expect(throws: ModelFileError.self) {
        try ArtifactFile.decodeStream(ByteRegion(packed), path: "zeros", limit: size - 1) { _ in }
      }
    }
  }
}
