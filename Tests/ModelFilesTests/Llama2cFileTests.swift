import ModelFiles
import TensorCore
import TestSupport
import Testing

struct Llama2cFileTests {
  static let files = ["v0.bin", "v0-unshared.bin", "v1.bin", "v1-unshared.bin", "v2.bin", "v2-unshared.bin"]

  private func contents(_ name: String) throws -> [UInt8] { try fixtureBytes("llama2c/\(name)") }

  private func read(_ bytes: [UInt8]) throws -> ModelSource {
    try Llama2cFile.read(ByteRegion(bytes), path: "model.bin")
  }

  private func error(_ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) -> ModelFileError? {
    #expect(throws: ModelFileError.self, sourceLocation: sourceLocation) { try read(bytes) }
  }

  /// The file with the 32-bit number at `place` replaced.
  private func changed(_ name: String, at place: Int, to value: Int32) throws -> [UInt8] {
    var bytes = try contents(name)
    bytes.replaceSubrange(place..<place + 4, with: little(value))
    return bytes
  }

  @Test(arguments: files) func readsEachVersion(_ name: String) throws {
    let file = try MappedFile(path: fixture("llama2c/\(name)"))
    #expect(Llama2cFile.recognizes(file.region.buffer))
    let source = try Llama2cFile.read(file)
    let expected = try ExpectedModel(name, in: "llama2c")
    #expect(source.container == .llama2c)
    #expect(source.files == [file.path])
    let found = try source.loaded().sorted { $0.name < $1.name }
    #expect(found == expected.tensors.sorted { $0.name < $1.name })
    #expect(source.configuration == expected.configuration)
    #expect(source.notes.count == (name.hasPrefix("v2") ? 1 : 0))
  }

  @Test func keepsTheModelsOrder() throws {
    let names = try read(contents("v0-unshared.bin")).tensors.map(\.name)
    #expect(names.first == "model.embed_tokens.weight")
    #expect(names.suffix(2) == ["model.norm.weight", "lm_head.weight"])
    #expect(names.filter { $0.hasPrefix("model.layers.0.") } == Array(names[1..<10]))
  }

  @Test(arguments: files) func refusesEveryTruncation(_ name: String) throws {
    let whole = try contents(name)
    for length in 0..<whole.count {
      let bytes = Array(whole.prefix(length))
      if name.hasPrefix("v0") { #expect(!bytes.withUnsafeBytes { Llama2cFile.recognizes($0) }) }
      #expect(error(bytes)?.reason == (length == 0 ? .notAModel : .truncated))
    }
    #expect(error(whole + [0])?.reason == .badStructure)
  }

  @Test func namesTheSizes() throws {
    let failure = error(Array(try contents("v1.bin").dropLast(4)))
    #expect(failure?.message == "the llama2.c header asks for 4576 bytes, the file has 4572")
  }

  @Test(arguments: [8, 12, 16, 20, 24, 28, 32]) func refusesImpossibleSizes(_ place: Int) throws {
    for value in [0, -1, .min, .max] as [Int32] {
      let bytes = try changed("v1.bin", at: place, to: value)
      #expect(error(bytes)?.reason == .badStructure)
    }
  }

  @Test(arguments: [0, 4, 8, 12, 16, 20, 24]) func refusesImpossibleSizesOfVersion0(_ place: Int) throws {
    for value in [0, -3, .min, .max] as [Int32] {
      let bytes = try changed("v0.bin", at: place, to: value)
      #expect(!bytes.withUnsafeBytes { Llama2cFile.recognizes($0) })
      #expect(error(bytes) != nil)
    }
  }

  @Test func refusesSizesWhoseProductOverflows() throws {
    var bytes = try contents("v1.bin")
    for place in [8, 12, 28] { bytes.replaceSubrange(place..<place + 4, with: little(Int32(1 << 20))) }
    bytes.replaceSubrange(16..<20, with: little(Int32(4096)))
    #expect(error(bytes)?.reason == .truncated)
  }

  @Test func refusesAnotherVersion() throws {
    #expect(try error(changed("v1.bin", at: 4, to: 3))?.reason == .unsupported)
    #expect(try error(changed("v1.bin", at: 4, to: 0))?.reason == .unsupported)
    #expect(try error(changed("v1.bin", at: 4, to: -1))?.reason == .unsupported)
  }

  @Test func refusesAnUnknownFlag() throws {
    var bytes = try contents("v1.bin")
    bytes[36] = 2
    #expect(error(bytes)?.reason == .badStructure)
  }

  @Test(arguments: [0, -8, 3, .max] as [Int32]) func refusesAnImpossibleGroup(_ size: Int32) throws {
    #expect(try error(changed("v2.bin", at: 37, to: size))?.reason == .badStructure)
  }

  @Test func refusesScalesThatAreNone() throws {
    var bytes = try contents("v2.bin")
    let place = 256 + (5 * 8) * 4 + 10 * 8  // norms, then the embedding's codes
    bytes.replaceSubrange(place..<place + 4, with: little(Float.nan.bitPattern))
    let failure = error(bytes)
    #expect(failure?.reason == .badStructure)
    #expect(failure?.message == "tensor 'model.embed_tokens.weight' has scale nan in group 0")
  }

  @Test(arguments: [[], [1, 2, 3], Array("GGUF".utf8) + [UInt8](repeating: 0, count: 60)] as [[UInt8]])
  func doesNotRecognizeOtherFiles(_ bytes: [UInt8]) {
    #expect(!bytes.withUnsafeBytes { Llama2cFile.recognizes($0) })
  }

  @Test func survivesRandomMutations() throws {
    var generator = SeededGenerator(seed: 3)
    for name in Llama2cFileTests.files {
      let whole = try contents(name)
      for _ in 0..<300 {
        // Half of the damage goes into the header, where it matters.
        var bytes = Mutation.apply(to: whole, &generator)
        if Bool.random(using: &generator) {
          bytes = Mutation.apply(to: Array(whole.prefix(260)), &generator) + whole.dropFirst(260)
        }
        do { _ = try read(bytes).loaded() } catch is ModelFileError {}
      }
    }
  }

  /// The same weights in a llama2.c file, a torch file and a safetensors file are the same bytes.
  @Test(.enabled(if: SharedData.isPresent)) func equalsTheTorchAndSafetensorsFiles() throws {
    let folder = SharedData.path("models/stories260K/")
    let ours = try Llama2cFile.read(MappedFile(path: folder + "stories260K.bin"))
    let torch = try TorchFile.read(MappedFile(path: folder + "derived-hf/pytorch_model.bin"))
    let first = try ours.loaded().sorted { $0.name < $1.name }
    #expect(try torch.loaded().sorted { $0.name < $1.name } == first)

    let file = try MappedFile(path: folder + "derived-hf/model.safetensors")
    let length = Int(file.region.base.loadUnaligned(as: UInt64.self))
    let header = try withExtendedLifetime(file) {
      try JSONValue(parsing: UnsafeRawBufferPointer(rebasing: file.region.buffer[8..<8 + length]))
    }
    let members = try #require(header.objectValue).members.filter { $0.key != "__metadata__" }
    #expect(members.count == first.count)
    for tensor in first {
      let place = try #require(header[tensor.name]?["data_offsets"]?.arrayValue).compactMap(\.intValue)
      let bytes = file.region.slice(8 + length + place[0]..<8 + length + place[1])
      #expect(Array(bytes.buffer) == tensor.bytes, "\(tensor.name)")
    }
    for (key, value) in [("hidden_size", 64), ("intermediate_size", 172), ("num_key_value_heads", 4)] {
      #expect(ours.configuration?[key]?.intValue == value)
    }
  }
}
