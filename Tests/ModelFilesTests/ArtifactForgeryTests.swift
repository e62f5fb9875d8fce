import Foundation
import ModelFiles
import TensorCore
import Testing

/// A seekable file taken apart and put together again by the words of the formats alone, so that forged parts can have
/// checksums that fit.
struct SeekableBytes {
  var frames: [(bytes: [UInt8], decoded: UInt32, checksum: UInt32)] = []

  init(_ file: [UInt8]) {
    let count = Int(Self.number(file, file.count - 9))
    var place = 0
    for entry in 0..<count {
      let at = file.count - 9 - 12 * (count - entry)
      let size = Int(Self.number(file, at))
      frames.append(
        (Array(file[place..<place + size]), Self.number(file, at + 4), Self.number(file, at + 8)))
      place += size
    }
  }

  var bytes: [UInt8] {
    var bytes =
      frames.flatMap(\.bytes) + Self.little(0x184D_2A5E) + Self.little(UInt32(frames.count * 12 + 9))
    for frame in frames {
      bytes +=
        Self.little(UInt32(frame.bytes.count)) + Self.little(frame.decoded) + Self.little(frame.checksum)
    }
    return bytes + Self.little(UInt32(frames.count)) + [0x80] + Self.little(0x8F92_EAB1)
  }

  /// The manifest's JSON; setting it makes its hash fit.
  var manifest: String {
    get { String(decoding: frames[frames.count - 1].bytes[93...], as: UTF8.self) }
    set {
      let text = Array(newValue.utf8)
      let hash = text.withUnsafeBytes { FileHash.sha256(of: $0) }
      frames[frames.count - 1].bytes =
        Self.little(0x184D_2A50) + Self.little(UInt32(85 + text.count))
        + Array("compress manifest 1\n\(hash)\n".utf8)
        + text
    }
  }

  private static func number(_ bytes: [UInt8], _ place: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << (8 * UInt32($1)) }
  }

  private static func little(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
}

/// Artifacts whose checksums fit but which contradict themselves.
struct ArtifactForgeryTests {
  let folder: TemporaryFolder
  let path: String
  let original: SeekableBytes

  init() throws {
    folder = try TemporaryFolder()
    path = folder.file("model.zst")
    try ArtifactSamples.pack(try ArtifactSamples.layout("gguf"), to: path)
    original = SeekableBytes(try ArtifactSamples.bytes(path))
  }

  private func forge(_ change: (inout SeekableBytes) throws -> Void) throws {
    var file = original
    try change(&file)
    #expect(file.bytes != original.bytes)
    try Data(file.bytes).write(to: URL(fileURLWithPath: path))
  }

  private func replace(_ text: String, by other: String) throws {
    try forge {
      #expect($0.manifest.contains(text))
      $0.manifest = $0.manifest.replacingOccurrences(of: text, with: other)
    }
  }

  private func error(_ body: () throws -> Void) -> ModelFileError? {
    do { try body() } catch { return error as? ModelFileError }
    return nil
  }

  @Test func theHelperIsFaithful() throws { #expect(try original.bytes == ArtifactSamples.bytes(path)) }

  @Test func anotherHashOfATensor() throws {
    let hash = try #require(try ArtifactFile.read(MappedFile(path: path)).manifest).tensors[0].sha256
    try replace(hash, by: String(repeating: "0", count: 64))
    #expect(try ArtifactFile.damages(of: path).map(\.part) == ["tensor 'first.weight'"])
    #expect(error { try ArtifactFile.unpack(path, to: folder.file("out")) }?.reason == .corrupt)
    #expect(folder.contents == ["model.zst"])
  }

  /// Unpacking checks the header and each tensor, which is all there is, and leaves the sum of it to `verify`.
  @Test func anotherHashOfTheFile() throws {
    let hash = try #require(try ArtifactFile.read(MappedFile(path: path)).manifest).sha256
    try replace(hash, by: String(repeating: "0", count: 64))
    #expect(try ArtifactFile.damages(of: path).map(\.part) == ["manifest"])
  }

  @Test func anotherRoot() throws {
    let root = try #require(try ArtifactFile.read(MappedFile(path: path)).manifest).merkleRoot
    try replace(root, by: String(repeating: "0", count: 64))
    #expect(try ArtifactFile.damages(of: path).first?.message.contains("Merkle") == true)
  }

  @Test(arguments: [
    ("\"name\":\"scalar\"", "\"name\":\"other\""), ("\"shape\":[3,5]", "\"shape\":[5,3]"),
    ("\"container\":\"gguf\"", "\"container\":\"safetensors\""),
  ])
  func anotherTensorThanTheHeaderHas(text: String, other: String) throws {
    try replace(text, by: other)
    #expect(error { _ = try ArtifactFile.read(MappedFile(path: path)) }?.reason == .corrupt)
    #expect(error { try ArtifactFile.verify(path) }?.reason == .corrupt)
  }

  @Test(arguments: [
    ("\"version\":1,", "\"version\":2,"), ("\"version\":1,", ""), ("\"count\":60,", "\"count\":-60,"),
    ("\"count\":60,", "\"count\":9223372036854775807,"), ("\"count\":60,", "\"count\":600,"),
    ("\"packed_offset\":0,", "\"packed_offset\":1,"),
    ("\"tool_version\":\"0.1.0-test\"", "\"tool_version\":7"),
    ("\"shape\":[3,5]", "\"shape\":[3,-5]"), ("\"level\":1,", ""),
    ("\"merkle_root\":\"", "\"merkle_root\":\"A"),
    ("{", "["),
  ])
  func impossibleManifests(text: String, other: String) throws {
    try replace(text, by: other)
    let unsupported = other.contains("version\":2")
    #expect(error { try ArtifactFile.verify(path) }?.reason == (unsupported ? .unsupported : .corrupt))
    #expect(
      error { _ = try ArtifactFile.read(MappedFile(path: path)) }?.reason
        == (unsupported ? .unsupported : .corrupt))
  }

  /// A table that promises gigabytes is not believed.
  @Test(arguments: [0, 1, 3], [UInt32.max, 100_000_000, 0])
  func anotherDecodedSize(frame: Int, size: UInt32) throws {
    try forge { $0.frames[frame].decoded = size }
    #expect(error { try ArtifactFile.verify(path) }?.message.hasPrefix("seek table:") == true)
    #expect(error { _ = try ArtifactFile.read(MappedFile(path: path)) }?.reason == .corrupt)
    #expect(error { try ArtifactFile.unpack(path, to: folder.file("out")) }?.reason == .corrupt)
    #expect(folder.contents == ["model.zst"])
  }

  @Test func framesInAnotherOrder() throws {
    try forge { $0.frames.swapAt(1, 2) }
    #expect(error { try ArtifactFile.verify(path) }?.reason == .corrupt)
  }

  @Test func aFrameTooMany() throws {
    try forge { $0.frames.insert($0.frames[3], at: 3) }
    #expect(error { try ArtifactFile.verify(path) }?.reason == .corrupt)
  }

  /// The tree of RFC 6962 §2.1 by its own words: split at the largest power of two below the number of leaves.
  @Test(arguments: 0...9) func merkleTree(count: Int) throws {
    func sha(_ bytes: [UInt8]) -> [UInt8] {
      let text = bytes.withUnsafeBytes { FileHash.sha256(of: $0) }
      return stride(from: 0, to: 64, by: 2).compactMap {
        UInt8(text.dropFirst($0).prefix(2), radix: 16)
      }
    }
    func root(_ leaves: ArraySlice<[UInt8]>) -> [UInt8] {
      if leaves.isEmpty { return sha([]) }
      if leaves.count == 1 { return leaves[leaves.startIndex] }
      var split = 1
      while split * 2 < leaves.count { split *= 2 }
      let middle = leaves.startIndex + split
      return sha([1] + root(leaves[..<middle]) + root(leaves[middle...]))
    }
    let tensors = (0..<count).map { ArtifactSamples.tensor("t\($0).wé", [$0 + 1], seed: UInt64($0)) }
    try ArtifactSamples.pack(SafetensorsWriter.layout(tensors: tensors), to: path)
    let manifest = try #require(try ArtifactFile.read(MappedFile(path: path)).manifest)
    let leaves = try manifest.tensors.map { tensor in
      let name = Array(tensor.name.utf8)
      let contents = try ArtifactSamples.contents(#require(tensors.first { $0.name == tensor.name }))
      return sha(
        [0, UInt8(name.count), 0, 0, 0] + name + [3, 0, 0, 0] + Array("f32".utf8)
          + sha(contents))
    }
    let expected = root(leaves[...]).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    #expect(manifest.merkleRoot == expected)
    try ArtifactFile.verify(path)
  }

  @Test func knownHashes() throws {
    #expect(
      FileHash.sha256(of: ByteRegion(Array("abc".utf8)))
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    try AtomicFile.write("", to: folder.file("empty"))
    #expect(
      try FileHash.sha256(ofFile: folder.file("empty"))
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    #expect(error { _ = try FileHash.sha256(ofFile: folder.file("none")) }?.reason == .system)
  }
}
