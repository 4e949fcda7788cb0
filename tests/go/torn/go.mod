module torn

go 1.19
