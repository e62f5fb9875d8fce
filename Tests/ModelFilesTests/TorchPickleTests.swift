import ModelFiles
import TensorCore
import Testing

/// Pickles that want what they shall not have, or make no sense. All are written byte by byte.
struct TorchPickleTests {
  private func error(_ pickle: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) -> ModelFileError?
  {
    torchError(Zip(pickle).bytes, sourceLocation: sourceLocation)
  }

  @Test func theBuilderMakesGoodFiles() throws {
    let source = try readTorch(Zip(Pickle.document([("a", Pickle.tensor())])).bytes)
    #expect(try source.loaded().map(\.bytes) == [[UInt8](repeating: 1, count: 16)])
  }

  // MARK: Calls

  @Test func refusesAForeignGlobalByName() {
    let pickle =
      Pickle.proto + Pickle.global("os", "system") + Pickle.tuple([Pickle.string("true")]) + Pickle.reduce
    let failure = error(pickle + Pickle.stop)
    #expect(failure?.reason == .forbiddenPickle)
    #expect(
      failure?.description == "model.bin: the pickle wants to call 'os.system'; only tensors can be loaded")
  }

  @Test func refusesAForeignStackGlobal() {
    let failure = error(
      [0x80, 4] + Pickle.string("builtins") + Pickle.string("eval") + [0x93] + Pickle.stop)
    #expect(failure?.reason == .forbiddenPickle)
    #expect(failure?.message == "the pickle wants to call 'builtins.eval'")
  }

  @Test func refusesAnInstanceByName() {
    let failure = error(Pickle.proto + Pickle.mark + [0x69] + Array("os\nsystem\n".utf8) + Pickle.stop)
    #expect(failure?.message == "the pickle wants to call 'os.system'")
  }

  @Test func escapesNamesThatWouldDisturbTheTerminal() {
    let failure = error(Pickle.proto + Pickle.global("a\u{1B}[2J", "b") + Pickle.stop)
    #expect(failure?.message == "the pickle wants to call 'a\\u{1b}[2J.b'")
  }

  @Test(arguments: [0x6F, 0x81, 0x92, 0x82, 0x83, 0x84, 0x50, 0x97, 0x98] as [UInt8])
  func refusesOpcodesThatMakeObjects(_ opcode: UInt8) {
    #expect(error(Pickle.proto + Pickle.emptyTuple + [opcode] + Pickle.stop)?.reason == .forbiddenPickle)
  }

  @Test func refusesToCallWhatIsNoName() {
    let pickle = Pickle.proto + Pickle.string("system") + Pickle.emptyTuple + Pickle.reduce + Pickle.stop
    #expect(error(pickle)?.reason == .forbiddenPickle)
  }

  @Test(arguments: [("torch", "FloatStorage"), ("torch", "Tensor"), ("torch", "float16")])
  func refusesToCallNamesThatAreOnlyArguments(_ module: String, _ name: String) {
    let pickle = Pickle.proto + Pickle.global(module, name) + Pickle.emptyTuple + Pickle.reduce + Pickle.stop
    #expect(error(pickle)?.reason == .forbiddenPickle)
  }

  @Test func refusesStateOnAnythingButADictionary() {
    let pickle = Pickle.proto + Pickle.emptyList + Pickle.emptyDict + [0x62] + Pickle.stop
    #expect(error(pickle)?.reason == .forbiddenPickle)
  }

  // MARK: Structure

  @Test(
    arguments: [
      ([0x2E], "empty stack"), ([0x30, 0x2E], "empty stack"), ([0x74, 0x2E], "empty stack"),
      ([0x28, 0x2E], "empty stack"), ([0x28, 0x71, 0, 0x2E], "empty stack"), ([0x52, 0x2E], "empty stack"),
      ([0x68, 5, 0x2E], "memo 5 is read before it is written"), ([0x4E, 0x4E, 0x2E], "leaves values behind"),
      ([0x4E, 0x28, 0x4E, 0x2E], "leaves values behind"), ([0xFF, 0x2E], "opcode 0xff at byte 42"),
      ([0x4E, 0x4E, 0x61, 0x2E], "no list"), ([0x5D, 0x4E, 0x4E, 0x73, 0x2E], "no dictionary"),
      ([0x7D, 0x28, 0x4E, 0x75, 0x2E], "key has no value"), ([0x4E, 0x52, 0x2E], "REDUCE without a tuple"),
      ([0x4E, 0x51, 0x2E], "persistent id"), ([0x4E, 0x4E, 0x93, 0x2E], "STACK_GLOBAL without two strings"),
    ] as [([UInt8], String)])
  func refusesNonsense(_ opcodes: [UInt8], message: String) {
    let failure = error(Pickle.proto + opcodes)
    #expect(failure?.reason == .badStructure)
    #expect(failure?.message.contains(message) == true, "\(failure?.message ?? "")")
  }

  @Test func refusesOtherProtocols() {
    #expect(error([0x80, 1, 0x4E, 0x2E])?.reason == .unsupported)
    #expect(error([0x80, 6, 0x4E, 0x2E])?.reason == .unsupported)
  }

  @Test(
    arguments: [
      [0x58, 0xFF, 0xFF, 0xFF, 0xFF], [0x8D, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
      [0x8D, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], [0x8E, 0, 0, 0, 0, 0, 0, 0, 1], [0x8C, 200, 1],
      [0x8A, 9, 1], [0x8B, 0xFF, 0xFF, 0xFF, 0x7F], [0x8B, 0xFF, 0xFF, 0xFF, 0xFF],
      [0x54, 0xFF, 0xFF, 0xFF, 0xFF],
      [0x95, 0, 0, 0, 0, 0, 0, 1, 0], [0x96, 9, 0, 0, 0, 0, 0, 0, 0], [0x47, 1], [0x4A, 1], [0x63, 0x61],
      [0x6A, 1], [],
    ] as [[UInt8]])
  func refusesLengthsOverTheEnd(_ opcodes: [UInt8]) {
    #expect(error(Pickle.proto + opcodes)?.reason == .truncated)
  }

  @Test func refusesADictionaryThatHoldsItself() {
    let pickle =
      Pickle.proto + Pickle.emptyDict + Pickle.put(0) + Pickle.string("me") + Pickle.get(0) + Pickle.setItem
    let failure = error(pickle + Pickle.stop)
    #expect(failure?.reason == .badStructure)
    #expect(failure?.message == "the pickle is recursive: a container holds itself")
  }

  @Test func refusesALongerCircle() {
    let pickle = Pickle.emptyList + Pickle.put(0) + Pickle.emptyList + Pickle.get(0) + Pickle.append + [0x85]
    #expect(error(Pickle.proto + pickle + Pickle.append + Pickle.stop)?.message.contains("recursive") == true)
  }

  @Test(arguments: [0x85, 0x5D] as [UInt8]) func refusesDeepNesting(_ opcode: UInt8) {
    let levels = 200_000
    let nested =
      opcode == 0x85
      ? Pickle.emptyTuple + [UInt8](repeating: 0x85, count: levels)
      : [UInt8](repeating: 0x5D, count: levels) + [UInt8](repeating: 0x61, count: levels - 1)
    #expect(error(Pickle.proto + nested + Pickle.stop)?.message.contains("nests containers") == true)
  }

  /// Each level holds the one below twice: 2⁹⁰ tensors in a few hundred bytes.
  @Test func refusesABombOfSharedLists() {
    var pickle = Pickle.proto + Pickle.tensor() + Pickle.put(0)
    for level in 0..<90 as Range<UInt8> {
      pickle += [0x30] + Pickle.get(level) + Pickle.get(level) + [0x86] + Pickle.put(level + 1)
    }
    let failure = error(pickle + Pickle.stop)
    #expect(failure?.reason == .badStructure)
    #expect(failure?.message.contains("share their parts") == true)
  }

  /// A set of a long list copies it; so do ten thousand.
  @Test func refusesABombOfCopies() {
    let list =
      Pickle.emptyList + Pickle.put(0) + Pickle.mark + [UInt8](repeating: 0x4E, count: 20_000) + [0x65, 0x30]
    let function = Pickle.global("builtins", "set") + Pickle.put(1) + [0x30]
    let copy = Pickle.get(1) + Pickle.get(0) + [0x85] + Pickle.reduce
    let pickle =
      Pickle.proto + list + function + Array(repeatElement(copy, count: 2000).joined()) + Pickle.stop
    #expect(error(pickle)?.message.contains("makes more than") == true)
  }

  @Test func refusesMoreValuesThanItWillKeep() {
    let pickle =
      Pickle.proto + Pickle.mark + [UInt8](repeating: 0x4E, count: 17 << 20) + Pickle.tuple + Pickle.stop
    #expect(error(pickle)?.message.contains("makes more than") == true)
  }

  // MARK: Tensors

  @Test(arguments: [
    Pickle.tensor(offset: 1), Pickle.tensor(shape: [5]), Pickle.tensor(shape: [2, 2], strides: [3, 1]),
    Pickle.tensor(offset: -1), Pickle.tensor(shape: [-1]), Pickle.tensor(strides: [-1]),
    Pickle.tensor(offset: .max), Pickle.tensor(shape: [.max], strides: [.max]),
    Pickle.tensor(strides: [.max]),
    Pickle.tensor(shape: [1 << 40, 1 << 40], strides: [0, 0]), Pickle.tensor(shape: [1 << 62], strides: [0]),
    Pickle.tensor(offset: 5, shape: [0]), Pickle.tensor(shape: [2, 2], strides: [1]),
    Pickle.tensor(shape: [Int](repeating: 1, count: 65), strides: [Int](repeating: 1, count: 65)),
    Pickle.tensor(shape: [1 << 40], strides: [0]),
  ])
  func refusesViewsOutsideTheirStorage(_ tensor: [UInt8]) {
    #expect(error(Pickle.document([("weight", tensor)]))?.reason == .badStructure)
  }

  @Test func namesTheTensorAndTheNumbers() {
    #expect(
      error(Pickle.document([("w", Pickle.tensor(offset: 1))]))?.message
        == "tensor 'w' lies outside its storage '0' of 16 bytes: offset 1, sizes [4], strides [1]")
  }

  @Test func refusesAStorageThatIsNotThere() {
    let failure = error(Pickle.document([("w", Pickle.tensor(key: "7"))]))
    #expect(failure?.reason == .missing)
    #expect(failure?.message == "storage 'm/data/7' is not in the archive")
  }

  @Test func refusesAStorageOfAnotherSize() {
    #expect(error(Pickle.document([("w", Pickle.tensor(count: 5))]))?.reason == .truncated)
    #expect(error(Pickle.document([("w", Pickle.tensor(count: 3))]))?.reason == .badStructure)
    #expect(error(Pickle.document([("w", Pickle.tensor(count: -4))]))?.reason == .badStructure)
    #expect(error(Pickle.document([("w", Pickle.tensor(count: .max))]))?.reason == .badStructure)
  }

  @Test func refusesTypesThatItCannotRead() {
    let failure = error(Pickle.document([("w", Pickle.tensor("QInt8Storage", count: 16))]))
    #expect(failure?.reason == .unsupported)
    #expect(failure?.message == "tensor 'w' has type qint8, which is not read")
  }

  @Test func refusesADuplicatedName() {
    let failure = error(Pickle.document([("w", Pickle.tensor()), ("w", Pickle.tensor(shape: [2]))]))
    #expect(failure?.reason == .duplicate)
    #expect(failure?.message == "tensor 'w' is there twice")
  }

  @Test func refusesANameThatNestingDuplicates() {
    let inner = Pickle.emptyDict + Pickle.string("b") + Pickle.tensor() + Pickle.setItem
    #expect(error(Pickle.document([("a.b", Pickle.tensor()), ("a", inner)]))?.reason == .duplicate)
  }

  @Test func refusesACheckpointWithoutTensors() {
    #expect(error(Pickle.document([("a", Pickle.int(1))]))?.reason == .notAModel)
    #expect(error(Pickle.proto + [0x4E] + Pickle.stop)?.reason == .notAModel)
  }

  @Test func keepsPrefixesThatNotAllNamesHave() throws {
    let pickle = Pickle.document([("module.a", Pickle.tensor()), ("b", Pickle.tensor(shape: [2]))])
    #expect(try readTorch(Zip(pickle).bytes).tensors.map(\.name) == ["module.a", "b"])
  }
}
