import ModelFiles
import TensorCore
import TestSupport
import Testing

/// GGUF files built byte by byte, wrong in one place each.
@Suite struct GGUFErrorTests {
  /// Bytes appended field by field.
  struct Builder {
    var bytes: [UInt8] = []
    func u8(_ value: UInt8) -> Builder { Builder(bytes: bytes + [value]) }
    func u32(_ value: UInt32) -> Builder {
      Builder(bytes: bytes + withUnsafeBytes(of: value.littleEndian) { Array($0) })
    }
    func u64(_ value: UInt64) -> Builder {
      Builder(bytes: bytes + withUnsafeBytes(of: value.littleEndian) { Array($0) })
    }
    func text(_ value: String) -> Builder {
      Builder(bytes: u64(UInt64(value.utf8.count)).bytes + Array(value.utf8))
    }
    func padded(_ data: Int = 0) -> [UInt8] {
      bytes + [UInt8](repeating: 0, count: (32 - bytes.count % 32) % 32 + data)
    }

    static func head(version: UInt32 = 3, tensors: UInt64 = 0, entries: UInt64 = 0) -> Builder {
      Builder(bytes: Array("GGUF".utf8)).u32(version).u64(tensors).u64(entries)
    }

    func tensor(_ name: String, _ shape: [UInt64], type: UInt32 = 0, offset: UInt64 = 0) -> Builder {
      var builder = text(name).u32(UInt32(shape.count))
      for size in shape { builder = builder.u64(size) }
      return builder.u32(type).u64(offset)
    }
  }

  private func expect(
    _ reason: ModelFileError.Reason, _ text: String, _ bytes: [UInt8],
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let error = modelError(sourceLocation: sourceLocation) { _ = try GGUFTests.index(bytes) }
    #expect(error?.reason == reason, sourceLocation: sourceLocation)
    #expect(
      error?.message.contains(text) == true, "\(error?.description ?? "")", sourceLocation: sourceLocation)
  }

  @Test func versions() {
    expect(.notAModel, "magic", Array("GGUL".utf8))
    expect(.truncated, "the version", Array("GGUF".utf8))
    expect(.unsupported, "version 1", Builder.head(version: 1).bytes)
    expect(.unsupported, "version 4", Builder.head(version: 4).bytes)
    expect(.unsupported, "big-endian", Builder.head(version: 0x0300_0000).bytes)
    #expect(throws: Never.self) { try GGUFTests.index(Builder.head().bytes) }
  }

  @Test func counts() {
    expect(.truncated, "claims 18446744073709551615 tensors", Builder.head(tensors: .max).bytes)
    expect(.truncated, "claims 1 metadata entries", Builder.head(entries: 1).bytes)
    expect(.truncated, "claims 9223372036854775808", Builder.head(entries: 1 << 63).padded(64))
  }

  @Test func metadata() {
    let one = Builder.head(entries: 1)
    expect(.truncated, "the key of metadata entry 0", one.u64(1 << 40).padded(64))
    expect(.badStructure, "empty", one.text("").padded(64))
    expect(.badStructure, "unknown value type 13", one.text("k").u32(13).padded())
    expect(.badStructure, "bool of value 2", one.text("k").u32(7).u8(2).padded())
    expect(.truncated, "within metadata 'k'", one.text("k").u32(8).u64(.max).padded())
    expect(.truncated, "claims 4611686018427387904", one.text("k").u32(9).u32(6).u64(1 << 62).padded())
    expect(.truncated, "claims 1000", one.text("k").u32(9).u32(8).u64(1000).padded())
    expect(.badStructure, "unknown value type 77", one.text("k").u32(9).u32(77).u64(1).padded())
    expect(
      .duplicate, "'k' appears twice",
      Builder.head(entries: 2).text("k").u32(7).u8(1).text("k").u32(7).u8(1).padded())
    var nested = one.text("k").u32(9)
    for _ in 0..<9 { nested = nested.u32(9).u64(1) }
    expect(.badStructure, "nested too deep", nested.padded(64))
    for (type, value) in [(UInt32(4), UInt32(33)), (4, 0), (4, 4), (5, 32)] {
      expect(.badStructure, "general.alignment", one.text("general.alignment").u32(type).u32(value).padded())
    }
  }

  @Test func tensorDescriptions() {
    let one = Builder.head(tensors: 1)
    let two = Builder.head(tensors: 2)
    expect(.truncated, "'a' has 8 bytes at offset 0", one.tensor("a", [2]).padded(7))
    expect(.badStructure, "no multiple of the alignment", one.tensor("a", [2], offset: 8).padded(64))
    expect(.truncated, "at offset 64", one.tensor("a", [2], offset: 64).padded(64))
    expect(.truncated, "at offset", one.tensor("a", [2], offset: UInt64.max - 31).padded(64))
    expect(.badStructure, "dimensions", one.tensor("a", [1, 1, 1, 1, 1]).padded(64))
    expect(.badStructure, "empty", one.tensor("", [1]).padded(64))
    expect(.badStructure, "overflows", one.tensor("a", [1 << 32, 1 << 32]).padded(64))
    expect(.badStructure, "overflows", one.tensor("a", [1 << 63]).padded(64))
    expect(.badStructure, "overflows", one.tensor("a", [0, 1 << 62, 1 << 62]).padded(64))
    expect(.badStructure, "blocks of 256", one.tensor("a", [128, 2], type: 12).padded(300))
    expect(.unsupported, "IQ2_XXS (ggml type 16)", one.tensor("a", [256], type: 16).padded(300))
    expect(.unsupported, "unknown ggml type 200", one.tensor("a", [256], type: 200).padded(300))
    expect(.duplicate, "'a' appears twice", two.tensor("a", [2]).tensor("a", [2], offset: 32).padded(64))
    expect(.badStructure, "'a' and 'b' overlap", two.tensor("a", [9]).tensor("b", [2], offset: 32).padded(64))
    expect(.badStructure, "overlap", two.tensor("a", [2]).tensor("b", [2]).padded(64))
    expect(.truncated, "claims 1 tensors", one.padded())
    #expect(throws: Never.self) {
      try GGUFTests.index(two.tensor("a", [0, 4]).tensor("b", [2], offset: 32).padded(40))
    }
    #expect(throws: Never.self) { try GGUFTests.index(one.tensor("empty", [0]).bytes) }
  }

  @Test func anEmptyTensorWithoutRoomCanBeLoaded() throws {
    let folder = try ScratchFolder()
    let path = try folder.write("a.gguf", Builder.head(tensors: 1).tensor("empty", [0]).bytes)
    #expect(try GGUFFile.read(MappedFile(path: path)).tensors[0].bytes.load().count == 0)
  }

  @Test func truncatedOrDamagedFilesAreRefusedOrValid() throws {
    let whole = try readBytes(fixture("aligned.gguf"))
    for length in 0..<whole.count - 60 {
      #expect(throws: ModelFileError.self) { try GGUFTests.index(Array(whole[..<length])) }
    }
    for name in ["types.gguf", "aligned.gguf"] {
      let whole = try readBytes(fixture(name))
      for place in whole.indices {
        for mask in [0x01, 0x80, 0xFF] as [UInt8] {
          var damaged = whole
          damaged[place] ^= mask
          checkIndex(of: damaged) { try GGUFTests.index($0) }
        }
        checkIndex(of: Array(whole[..<place])) { try GGUFTests.index($0) }
      }
    }
  }
}
