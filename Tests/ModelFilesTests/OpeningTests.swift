import Foundation
import ModelFiles
import TensorCore
import TestSupport
import Testing

@Suite struct OpeningTests {
  static func safetensors(_ tensors: [StoredTensor]) throws -> [UInt8] {
    try written(SafetensorsWriter.layout(tensors: tensors))
  }

  static func index(_ map: [(String, String)]) -> String {
    let map = JSONValue.object(JSONObject(map.map { ($0, .string($1)) }))
    return JSONValue.object(JSONObject([("metadata", .object(.init())), ("weight_map", map)])).text()
  }

  /// A folder with a model in two shards and everything that belongs to it.
  static func sharded() throws -> ScratchFolder {
    let folder = try ScratchFolder()
    try folder.write("config.json", #"{"model_type":"llama","vocab_size":3}"#)
    try folder.write("generation_config.json", #"{"eos_token_id":2}"#)
    try folder.write("tokenizer.json", #"{"model":{}}"#)
    try folder.write("model-00001-of-00002.safetensors", safetensors([tensor("a", [2])]))
    try folder.write("model-00002-of-00002.safetensors", safetensors([tensor("b", [3]), tensor("c", [1])]))
    try folder.write(
      "model.safetensors.index.json",
      index([
        ("a", "model-00001-of-00002.safetensors"), ("b", "model-00002-of-00002.safetensors"),
        ("c", "model-00002-of-00002.safetensors"),
      ]))
    return folder
  }

  @Test(arguments: [
    "", "/", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
  ])
  func opensAShardedModelByAnyOfItsFiles(name: String) throws {
    let folder = try OpeningTests.sharded()
    let source = try ModelFiles.open(
      name.hasPrefix("/") || name.isEmpty ? folder.path + name : "\(folder.path)/\(name)")
    #expect(source.container == .safetensors)
    #expect(source.tensors.map(\.name) == ["a", "b", "c"])
    #expect(
      source.files.map { URL(fileURLWithPath: $0).lastPathComponent }
        == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"])
    #expect(source.configuration?["model_type"]?.stringValue == "llama")
    #expect(source.generation?["eos_token_id"]?.intValue == 2)
    #expect(source.tokenizerFiles.map(\.kind) == [.json])
    #expect(source.notes == [])
  }

  @Test func shardsWithoutAnIndexAreFoundByName() throws {
    let folder = try OpeningTests.sharded()
    try FileManager.default.removeItem(atPath: folder.path + "/model.safetensors.index.json")
    #expect(try ModelFiles.open(folder.path).tensors.count == 3)
    #expect(try ModelFiles.open(folder.path + "/model-00002-of-00002.safetensors").tensors.count == 3)
    try FileManager.default.removeItem(atPath: folder.path + "/model-00001-of-00002.safetensors")
    let error = modelError { _ = try ModelFiles.open(folder.path) }
    #expect(error?.reason == .missing && error?.path.hasSuffix("model-00001-of-00002.safetensors") == true)
  }

  @Test func checksShardsAgainstTheIndex() throws {
    let shard = "model-00002-of-00002.safetensors"
    let a = ("a", "model-00001-of-00002.safetensors")
    let cases: [(map: [(String, String)], reason: ModelFileError.Reason, text: String)] = [
      ([a, ("b", shard), ("c", shard), ("d", shard)], .missing, "lacks tensor 'd'"),
      ([a, ("b", shard), ("c", "model-00001-of-00002.safetensors")], .missing, "lacks tensor 'c'"),
      ([a, ("b", "gone.safetensors")], .missing, "is missing"),
      ([a, ("b", "../x.safetensors")], .badStructure, "not a name in this folder"),
      ([a, ("b", "/etc/passwd")], .badStructure, "not a name in this folder"),
      ([a, ("b", "..")], .badStructure, "not a name in this folder"),
      ([a, ("b", "")], .badStructure, "not a name in this folder"), ([], .badStructure, "weight_map"),
    ]
    for (map, reason, text) in cases {
      let folder = try OpeningTests.sharded()
      try folder.write("model.safetensors.index.json", OpeningTests.index(map))
      for name in ["", "/model.safetensors.index.json"] {
        let error = modelError { _ = try ModelFiles.open(folder.path + name) }
        #expect(
          error?.reason == reason && error?.message.contains(text) == true, "\(error?.description ?? "")")
      }
    }
  }

  @Test func notesTensorsThatTheIndexDoesNotName() throws {
    let folder = try OpeningTests.sharded()
    try folder.write(
      "model.safetensors.index.json",
      OpeningTests.index([
        ("a", "model-00001-of-00002.safetensors"), ("b", "model-00002-of-00002.safetensors"),
      ]))
    let source = try ModelFiles.open(folder.path)
    #expect(source.tensors.count == 3)
    #expect(source.notes.count == 1 && source.notes[0].contains("'c'"))
  }

  @Test func refusesATensorInTwoShards() throws {
    let folder = try OpeningTests.sharded()
    try folder.write(
      "model-00001-of-00002.safetensors", OpeningTests.safetensors([tensor("a", [2]), tensor("b", [3])]))
    #expect(modelError { _ = try ModelFiles.open(folder.path) }?.reason == .duplicate)
  }

  @Test func prefersSafetensorsAndSaysWhenNothingTellsModelsApart() throws {
    let folder = try ScratchFolder()
    let gguf = try written(GGUFWriter.layout(metadata: [], tensors: [tensor("g", [1])]))
    try folder.write("a.gguf", gguf)
    try folder.write("readme.md", "# text")
    #expect(try ModelFiles.open(folder.path).container == .gguf)
    try folder.write("b.gguf", gguf)
    let error = modelError { _ = try ModelFiles.open(folder.path) }
    #expect(error?.message == "holds 2 models: a.gguf, b.gguf")
    try folder.write("weights.anything", OpeningTests.safetensors([tensor("s", [1])]))
    #expect(try ModelFiles.open(folder.path).tensors.map(\.name) == ["s"])
    try folder.write("model.safetensors", OpeningTests.safetensors([tensor("m", [1])]))
    #expect(try ModelFiles.open(folder.path).tensors.map(\.name) == ["m"])
  }

  @Test func aDamagedModelOfTheUsualNameIsNotPassedOver() throws {
    let folder = try ScratchFolder()
    try folder.write("a.gguf", written(GGUFWriter.layout(metadata: [], tensors: [])))
    let path = try folder.write(
      "model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    let error = modelError { _ = try ModelFiles.open(folder.path) }
    #expect(error?.path == path && error?.message.contains("Git LFS pointer") == true)
  }

  @Test func followsLinksAsModelCachesKeepThem() throws {
    let folder = try ScratchFolder()
    let blob = try folder.write("blobs/1234abcd", OpeningTests.safetensors([tensor("m", [1])]))
    let config = try folder.write("blobs/5678", #"{"model_type":"bert"}"#)
    let snapshot = folder.path + "/snapshot"
    try FileManager.default.createDirectory(atPath: snapshot, withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: snapshot + "/model.safetensors", withDestinationPath: blob)
    try FileManager.default.createSymbolicLink(atPath: snapshot + "/config.json", withDestinationPath: config)
    for path in [snapshot, snapshot + "/model.safetensors"] {
      #expect(try ModelFiles.open(path).configuration?["model_type"]?.stringValue == "bert")
    }
  }

  @Test(
    arguments: [
      ([], "is empty"), (Array("GIF89a".utf8), "GIF"), ([0xFF, 0xD8, 0xFF, 0xE0, 0, 16], "a JPEG image"),
      (
        [0x08, 0x07, 0x12, 0x07] + Array("pytorch".utf8) + [0x1A, 3, 0x31, 0x2E, 0x30, 0x3A, 0],
        "an ONNX model"
      ),
      (Array("Once upon a time\n".utf8), "a text file"),
      (Array("<!DOCTYPE html><html>".utf8), "an HTML page"),
      (Array("version https://git-lfs.github.com/spec/v1\n".utf8), "Git LFS pointer"),
      (Array(#"{"model_type":"llama"}"#.utf8), "configuration without its weights"),
      (Array(#"{"model":{"vocab":{}}}"#.utf8), "a tokenizer"), (Array(#"{"a":"#.utf8), "damaged JSON"),
      ([UInt8](repeating: 0, count: 100), "zero bytes"), ([0x1F, 0x8B, 8, 0], "gzip"),
      ([0x89] + Array("HDF\r\n".utf8) + [0x1A, 0x0A], "HDF5"),
      (Array("lmgg".utf8) + [1, 0, 0, 0], "before GGUF"),
      ([0xDE, 0xAD, 0xBE, 0xEF], "bytes de ad be ef"), ([1], "unknown binary data"),
      (Array("é".utf8), "a text file"),
    ] as [([UInt8], String)])
  func saysWhatAFileIsThatIsNoModel(bytes: [UInt8], text: String) throws {
    let folder = try ScratchFolder()
    let path = try folder.write("model.bin", bytes)
    let error = modelError { _ = try ModelFiles.open(path) }
    #expect(error?.reason == .notAModel && error?.path == path && error?.advice != nil)
    #expect(error?.message.contains(text) == true, "\(error?.description ?? "")")
  }

  @Test func refusesWhatIsNotThereOrNoFile() throws {
    let folder = try ScratchFolder()
    #expect(
      modelError { _ = try ModelFiles.open(folder.path + "/none") }?.description.contains("No such file")
        == true)
    #expect(modelError { _ = try ModelFiles.open("/dev/null") }?.message.contains("neither a file") == true)
    #expect(
      modelError { _ = try ModelFiles.open(folder.path) }?.message.contains("holds no safetensors") == true)
    try folder.write(
      "model.onnx", [0x08, 0x07, 0x12, 0x07] + Array("pytorch".utf8) + [0x1A, 3, 0x31, 0x2E, 0x30])
    #expect(
      modelError { _ = try ModelFiles.open(folder.path) }?.message.contains("model.onnx is an ONNX") == true)
    try folder.write("adapter_model.safetensors", OpeningTests.safetensors([tensor("m", [1])]))
    #expect(modelError { _ = try ModelFiles.open(folder.path) }?.message.contains("LoRA") == true)
  }

  @Test func aLlama2cModelOfTheWrongLengthIsStillRecognized() throws {
    let header: [Int32] = [8, 16, 1, 2, 2, 3, 4]
    let bytes = header.flatMap { number in withUnsafeBytes(of: number.littleEndian) { Array($0) } }
    let folder = try ScratchFolder()
    for extra in [0, 1, 1000] {
      let path = try folder.write("model.bin", bytes + [UInt8](repeating: 1, count: extra))
      let error = modelError { _ = try ModelFiles.open(path) }
      #expect(error?.reason == .truncated && error?.message.contains("llama2.c header asks for") == true)
    }
  }

  @Test func aPackedSafetensorsFileUsesItsFolder() throws {
    let folder = try OpeningTests.sharded()
    let whole = try OpeningTests.safetensors([tensor("z", [1])])
    let frame = try fixtureFrame(of: whole)
    let source = try ModelFiles.open(try folder.write("packed.zst", frame))
    #expect(source.container == .safetensors && source.tensors.map(\.name) == ["z"])
    #expect(source.configuration != nil && source.tokenizerFiles.count == 1)
  }

  /// `bytes` as one zstd frame of a raw block (RFC 8878).
  private func fixtureFrame(of bytes: [UInt8]) throws -> [UInt8] {
    try #require(bytes.count < 1 << 17)
    let block = UInt32(bytes.count) << 3 | 1
    let size = withUnsafeBytes(of: UInt32(bytes.count).littleEndian) { Array($0) }
    let head = withUnsafeBytes(of: block.littleEndian) { Array($0.prefix(3)) }
    return [0x28, 0xB5, 0x2F, 0xFD, 0xA0] + size + head + bytes
  }

  @Test(
    .enabled(if: SharedData.isPresent),
    arguments: [
      ("stories260K/stories260K.bin", ModelSource.Container.llama2c, 47, [TokenizerFile.Kind.sentencePiece]),
      ("stories260K", .gguf, 48, []),
      ("stories260K/derived-hf/pytorch_model.bin", .torch, 47, [.sentencePiece]),
      ("stories260K/derived-hf", .safetensors, 47, [.sentencePiece]),
    ])
  func opensRealModelsOfEveryKind(
    name: String, container: ModelSource.Container, tensors: Int, tokenizers: [TokenizerFile.Kind]
  ) throws {
    let source = try ModelFiles.open(SharedData.path("models/" + name))
    #expect(source.container == container && source.tensors.count == tensors)
    #expect(source.tokenizerFiles.map(\.kind) == tokenizers)
    #expect(source.configuration?["vocab_size"]?.intValue == (container == .gguf ? nil : 512))
  }

  @Test func badConfigurationIsAnErrorThatNamesTheFile() throws {
    let folder = try OpeningTests.sharded()
    let path = try folder.write("config.json", "{")
    #expect(modelError { _ = try ModelFiles.open(folder.path) }?.path == path)
    try folder.write("config.json", "[1]")
    #expect(modelError { _ = try ModelFiles.open(folder.path) }?.message == "is no JSON object")
    try folder.write("config.json", #"{"time_step_limit":[0.0,Infinity]}"#)
    #expect(try ModelFiles.open(folder.path).configuration?["time_step_limit"] != nil)
    try folder.write("config.json", [UInt8](repeating: 0x20, count: 16 << 20) + [0x7B, 0x7D])
    #expect(modelError { _ = try ModelFiles.open(folder.path) }?.message.contains("may have") == true)
  }
}
