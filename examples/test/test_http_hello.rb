# frozen_string_literal: true

require_relative "helper"

class TestHttpHello < ExampleTest
  REQUEST = "GET / HTTP/1.1\r\nHost: nyario\r\nUser-Agent: a test\r\n\r\n"
  # Names and values in other letters, and blanks where there may be any or none.
  POST = "POST /some/where?a=b HTTP/1.1\r\nhost:nyario\r\nCONTENT-LENGTH:\t3 \r\nconnection: Keep-Alive\t\r\nX:\r\n\r\nabc"
  HELLO = ["HTTP/1.1 200 OK", "Hello, world\n", nil].freeze
  LAST_HELLO = ["HTTP/1.1 200 OK", "Hello, world\n", "close"].freeze

  # The status line, the body and the Connection header of the next answer.
  def answer(socket)
    patiently do
      head = socket.gets("\r\n\r\n")
      length = head[/^Content-Length: ([0-9]+)\r$/i, 1]
      refute_nil length, head
      [head.lines.first.chomp, socket.read(length.to_i), head[/^Connection: (.*)\r$/i, 1]]
    end
  end

  def assert_ends(socket)
    assert_nil(patiently { socket.read(1) })
    socket.close
  end

  each_example :http_hello, "answers and keeps alive" do |example|
    socket = example.connect
    3.times do
      socket.write(REQUEST)
      assert_equal HELLO, answer(socket)
    end
    socket.close
  end

  each_example :http_hello, "answers many requests of one packet" do |example|
    socket = example.connect
    socket.write(REQUEST * 50)
    50.times { assert_equal HELLO, answer(socket) }
    socket.write("#{REQUEST * 2}#{REQUEST[0, 20]}")
    2.times { assert_equal HELLO, answer(socket) }
    socket.write(REQUEST[20..])
    assert_equal HELLO, answer(socket)
    socket.close
  end

  each_example :http_hello, "answers a request that comes byte by byte" do |example|
    socket = example.connect
    [REQUEST, POST, REQUEST].each do |request|
      request.each_char do |byte|
        socket.write(byte)
        Thread.pass
      end
      assert_equal HELLO, answer(socket)
    end
    socket.close
  end

  each_example :http_hello, "ends the connection when asked to" do |example|
    socket = example.connect
    socket.write("#{REQUEST}GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert_equal HELLO, answer(socket)
    assert_equal LAST_HELLO, answer(socket)
    assert_ends(socket)
  end

  each_example :http_hello, "ends the connection of an older client unless asked not to" do |example|
    socket = example.connect
    socket.write("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n")
    assert_equal HELLO, answer(socket)
    assert_equal LAST_HELLO, answer(socket)
    assert_ends(socket)
  end

  each_example :http_hello, "tells headers apart" do |example|
    socket = example.connect
    headers = %w[X-Connection Connections Collection Xonnection].map { |name| "#{name}: close\r\n" }.join
    headers += "Content-Lengths: 9\r\nContent-Tedious: 9\r\nTransfer-Encodings: x\r\nTransfer-Encodinx: x\r\n"
    headers += "Connection: closed\r\nConnection: upgrade\r\n"
    socket.write("GET / HTTP/1.1\r\n#{headers}\r\n#{POST}GET / HTTP/1.1\r\nCONNECTION:CLOSE\r\n\r\n")
    2.times { assert_equal HELLO, answer(socket) }
    assert_equal LAST_HELLO, answer(socket)
    assert_ends(socket)
  end

  each_example :http_hello, "skips bodies" do |example|
    socket = example.connect
    body = "GET /no/request HTTP/1.1\r\n\r\n"
    post = "POST / HTTP/1.1\r\nContent-Length: #{body.bytesize}\r\n\r\n#{body}"
    socket.write(post * 3)
    3.times { assert_equal HELLO, answer(socket) }
    socket.write(post[0..-2])
    assert_equal HELLO, answer(socket)
    socket.write(post[-1] + REQUEST.sub("/", "/last").sub("\r\n", "\r\nConnection: close\r\n"))
    assert_equal LAST_HELLO, answer(socket)
    assert_ends(socket)
  end

  MALFORMED = ["nonsense\r\n\r\n", "GET /\r\n\r\n", "GET / SPDY/3\r\n\r\n", " / HTTP/1.1\r\n\r\n",
               "GET / HTTP/1.1\r\nno colon\r\n\r\n", "GET / HTTP/1.1\r\n: no name\r\n\r\n",
               "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
               "GET / HTTP/1.1\r\nContent-Length: \r\n\r\n", "\x16\x03\x01\x02\r\n\r\n",
               "GET / HTTP/1.x\r\n\r\n", "GET / HTTP/1.\r\n\r\n", "GET / HTTP/\r\n\r\n", "GET  HTTP/1.1\r\n\r\n",
               "GET / HTTP/1.1 \r\n\r\n", "GET / HTTP/1.1\rX: y\r\n\r\n", "GET / HTTP/1.1xx\r\n\r\n"].freeze

  each_example :http_hello, "refuses what is malformed" do |example|
    MALFORMED.each do |request|
      socket = example.connect
      socket.write(REQUEST + request)
      assert_equal HELLO, answer(socket)
      assert_equal ["HTTP/1.1 400 Bad Request", "", "close"], answer(socket), request
      assert_ends(socket)
    end
  end

  # A length that one server overlooks and another one does not lets a request through between them.
  def test_c_http_hello_refuses_what_others_may_read_differently
    Example.run(:c, :http_hello) do |example|
      ["Content-Length : 1\r\n\r\n", " Content-Length: 1\r\n\r\n", "X: y\rContent-Length: 1\r\n\r\n",
       "X: y\r\n\r\0\r\n\r\n", "X\0: y\r\n\r\n"].each do |headers|
        socket = example.connect
        socket.write("GET / HTTP/1.1\r\n#{headers}")
        assert_equal ["HTTP/1.1 400 Bad Request", "", "close"], answer(socket), headers
        assert_ends(socket)
      end
    end
  end

  each_example :http_hello, "refuses what it cannot handle" do |example|
    socket = example.connect
    socket.write("GET / HTTP/1.1\r\nX: #{'x' * 8192}")
    assert_equal ["HTTP/1.1 431 Request Header Fields Too Large", "", "close"], answer(socket)
    socket.close
    socket = example.connect
    socket.write("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert_equal ["HTTP/1.1 501 Not Implemented", "", "close"], answer(socket)
    assert_ends(socket)
  end
end
