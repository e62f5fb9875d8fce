import ModelFiles
import TensorCore
import TestSupport
import Testing

/// Checkpoints that torch itself wrote (Fixtures/torch/make_torch.py).
struct TorchFileTests {
  static let files = [
    "dtypes.bin", "dtypes-big.bin", "dtypes-legacy.bin", "views.bin", "views-protocol4.bin",
    "views-protocol5.bin",
    "views-legacy.bin", "views-legacy-protocol4.bin", "module.bin", "module-zip32.bin", "parameters.pt",
    "training.pt",
    "wrapped.pt", "nested.pt", "list.pt", "bare.pt",
  ]

  @Test(arguments: files) func readsWhatTorchWrote(_ name: String) throws {
    let file = try MappedFile(path: fixture("torch/\(name)"))
    #expect(TorchFile.recognizes(file.region.buffer))
    let source = try TorchFile.read(file)
    let expected = try ExpectedModel(name, in: "torch")
    #expect(source.container == (name.contains("legacy") ? .torchLegacy : .torch))
    #expect(source.path == file.path && source.files == [file.path])
    #expect(try source.loaded() == expected.tensors)
    #expect(source.aliases == expected.aliases)
    #expect(source.configuration == expected.configuration)
    #expect(source.notes == expected.notes ?? [])
  }

  @Test func contiguousTensorsShareTheFile() throws {
    let file = try MappedFile(path: fixture("torch/dtypes.bin"))
    let whole = file.region.buffer
    for tensor in try TorchFile.read(file).tensors {
      let base = try tensor.bytes.load().base
      #expect(
        base >= whole.baseAddress.unsafelyUnwrapped
          && base < whole.baseAddress.unsafelyUnwrapped + whole.count)
    }
  }

  @Test func tensorsOutliveTheFile() throws {
    let source = try {
      try TorchFile.read(MappedFile(path: fixture("torch/views.bin")))
    }()
    #expect(try source.loaded() == ExpectedModel("views.bin", in: "torch").tensors)
  }

  @Test func legacyTensorsAreAligned() throws {
    let source = try TorchFile.read(MappedFile(path: fixture("torch/dtypes-legacy.bin")))
    for tensor in source.tensors {
      #expect(Int(bitPattern: try tensor.bytes.load().base) % tensor.format.bytesPerBlock == 0)
    }
  }

  @Test(arguments: [
    ("program.pt", ModelFileError.Reason.forbiddenPickle, "the pickle wants to call 'posix.system'"),
    ("script.pt", .unsupported, "this is a TorchScript archive, a program"),
    ("complex.bin", .unsupported, "tensor 'frequencies' has type complex64, which is not read"),
    ("dtypes-deflated.bin", .unsupported, "is compressed (method 8), torch stores them plain"),
  ])
  func refuses(_ name: String, reason: ModelFileError.Reason, message: String) throws {
    let file = try MappedFile(path: fixture("torch/\(name)"))
    #expect(try fixtureBytes("torch/\(name)").withUnsafeBytes { TorchFile.recognizes($0) })
    let error = #expect(throws: ModelFileError.self) { try TorchFile.read(file) }
    #expect(error?.reason == reason)
    #expect(error?.message.contains(message) == true, "\(error.map(\.description) ?? "")")
  }

  @Test(
    arguments: [[], Array("PK".utf8), Array("GGUF".utf8), [0x80, 2], Array("{\"a\": 1}".utf8)] as [[UInt8]])
  func doesNotRecognizeOtherFiles(_ bytes: [UInt8]) {
    #expect(!bytes.withUnsafeBytes { TorchFile.recognizes($0) })
    #expect(torchError(bytes)?.reason == .notAModel)
  }

  @Test func doesNotRecognizeOtherArchives() {
    var zip = Zip([])
    zip.entries = [.init(name: "word/document.xml", data: [1, 2])]
    #expect(!zip.bytes.withUnsafeBytes { TorchFile.recognizes($0) })
    #expect(torchError(zip.bytes)?.reason == .notAModel)
  }

  @Test(.enabled(if: SharedData.isPresent)) func readsARealModel() throws {
    let source = try TorchFile.read(
      MappedFile(path: SharedData.path("models/stories260K/derived-hf/pytorch_model.bin")))
    #expect(source.tensors.count == 47)
    #expect(source.tensors.first?.name == "model.embed_tokens.weight")
    #expect(source.tensors.first?.shape == [512, 64])
  }
}
