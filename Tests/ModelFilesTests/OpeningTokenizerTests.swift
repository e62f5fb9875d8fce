import ModelFiles
import TensorCore
import TestSupport
import Testing

@Suite struct OpeningTokenizerTests {
  /// A SentencePiece model of `count` pieces without scores.
  static func sentencePiece(_ count: Int) -> [UInt8] {
    (0..<count).flatMap { [0x0A, 0x03, 0x0A, 0x01, 0x41 + UInt8($0)] } + [0x12, 0x02, 0x18, 0x02]
  }

  /// A llama2.c tokenizer of `count` tokens of one letter.
  static func llama2c(_ count: Int) -> [UInt8] {
    [1, 0, 0, 0] + (0..<count).flatMap { [0, 0, 0, 0, 1, 0, 0, 0, 0x41 + UInt8($0)] }
  }

  static func model(_ folder: ScratchFolder, vocabulary: Int = 3) throws -> String {
    try folder.write("config.json", "{\"vocab_size\":\(vocabulary)}")
    return try folder.write("m.safetensors", OpeningTests.safetensors([tensor("m", [1])]))
  }

  @Test func findsFilesOfTheUsualNames() throws {
    let folder = try ScratchFolder()
    let path = try OpeningTokenizerTests.model(folder)
    for name in [
      "vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "modules.json",
      "1_Pooling/config.json",
      "tokenizer.json",
    ] { try folder.write(name, "{}") }
    try folder.write("tokenizer.model", OpeningTokenizerTests.sentencePiece(3))
    try folder.write("tokenizer.bin", OpeningTokenizerTests.llama2c(3))
    try folder.write("tok3.model", OpeningTokenizerTests.sentencePiece(3))
    #expect(
      try ModelFiles.open(path).tokenizerFiles.map(\.kind) == [
        .json, .sentencePiece, .wordPiece, .llama2c, .configuration, .specialTokens, .sentenceTransformers,
        .pooling,
      ])
  }

  @Test func leavesOutATokenizerModelThatIsNoSentencePiece() throws {
    let folder = try ScratchFolder()
    let path = try OpeningTokenizerTests.model(folder)
    try folder.write("tokenizer.model", "IQ== 0\nIg== 1\n")
    let source = try ModelFiles.open(path)
    #expect(source.tokenizerFiles.isEmpty && source.notes.count == 1)
  }

  @Test func findsOtherNamesByContentAndVocabularySize() throws {
    let folder = try ScratchFolder()
    let path = try OpeningTokenizerTests.model(folder, vocabulary: 4)
    try folder.write("tok3.model", OpeningTokenizerTests.sentencePiece(3))
    #expect(try ModelFiles.open(path).tokenizerFiles.map(\.path) == [folder.path + "/tok3.model"])
    try folder.write("tok4.bin", OpeningTokenizerTests.llama2c(4))
    #expect(try ModelFiles.open(path).tokenizerFiles.map(\.path) == [folder.path + "/tok4.bin"])
    try folder.write("tok4.model", OpeningTokenizerTests.sentencePiece(4))
    #expect(try ModelFiles.open(path).tokenizerFiles.map(\.path) == [folder.path + "/tok4.model"])
    try folder.write("tokens.bin", "no tokenizer")
    let source = try ModelFiles.open(path)
    #expect(source.tokenizerFiles.map(\.kind) == [.sentencePiece])
    #expect(source.notes == ["tokenizer: tok4.model, found by its content"])
  }

  @Test func theUsersTokenizerReplacesVocabulariesOnly() throws {
    let folder = try ScratchFolder()
    let path = try OpeningTokenizerTests.model(folder)
    try folder.write("tokenizer.json", "{}")
    try folder.write("tokenizer_config.json", "{}")
    let other = try ScratchFolder()
    for (bytes, kind) in [
      (OpeningTokenizerTests.sentencePiece(2), TokenizerFile.Kind.sentencePiece),
      (OpeningTokenizerTests.llama2c(2), .llama2c),
      (Array(#"{"model":{}}"#.utf8), .json), (Array("[PAD]\n[UNK]\na\n".utf8), .wordPiece),
    ] {
      let file = try other.write("free.name", bytes)
      let files = try ModelFiles.open(path, tokenizer: file).tokenizerFiles
      #expect(files.map(\.kind) == [kind, .configuration] && files[0].path == file)
    }
    let error = modelError { _ = try ModelFiles.open(path, tokenizer: try other.write("x", "no tokenizer")) }
    #expect(error?.reason == .notAModel && error?.message.contains("a text file") == true)
    try other.write("tokenizer.model", OpeningTokenizerTests.sentencePiece(2))
    #expect(try ModelFiles.open(path, tokenizer: other.path).tokenizerFiles.map(\.kind) == [.sentencePiece])
    #expect(modelError { _ = try ModelFiles.open(path, tokenizer: other.path + "/none") }?.reason == .system)
  }

  @Test(.enabled(if: SharedData.isPresent))
  func findsTheTokenizersOfRealModels() throws {
    for (name, kinds) in [
      ("models/books-7m", [TokenizerFile.Kind.sentencePiece, .configuration]),
      ("models/books-7m/model.safetensors", [.sentencePiece, .configuration]),
      ("models/stories260K/derived-hf", [.sentencePiece]), ("models/stories260K/stories260K.gguf", []),
      (
        "models/minilm-l6-v2",
        [
          .json, .wordPiece, .configuration, .specialTokens, .sentenceTransformers, .pooling,
        ]
      ),
    ] {
      #expect(try ModelFiles.open(SharedData.path(name)).tokenizerFiles.map(\.kind) == kinds, "\(name)")
    }
  }
}
